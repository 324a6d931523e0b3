"""What is known of methods and functions by name: which change their object, which do not, which share it.

Sources: the API references of Python 3.11, pandas 3.1, numpy 2.4, polars 2.1, matplotlib 3.11, scikit-learn 1.9 and
networkx 3.6. `tests/analysis/test_tables.py` checks the entries against the libraries themselves.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """A table that is written as a text."""
    return frozenset(text.split())


# Change their object wherever they stand.
CHANGING = words("""
append appendleft extend extendleft insert remove clear pop popitem popleft setdefault discard update
intersection_update difference_update symmetric_difference_update rotate move_to_end subtract_update
fit fit_transform fit_predict partial_fit fit_resample set_params set_output train_on_batch load_state_dict
backward zero_grad
write writelines writerow writerows writeheader read readline readlines seek readinto flush close
execute executemany executescript commit rollback fetchone fetchall fetchmany nextset
put put_nowait get_nowait send task_done recv recvfrom read_next_batch read_all readexactly readuntil
add_edge add_edges_from add_node add_nodes_from add_weighted_edges_from remove_edge remove_edges_from remove_node
remove_nodes_from clear_edges add_path add_cycle add_star
isetitem insert_column replace_column drop_in_place extend_constant
setflags setfield itemset putmask seed setstate set_state
integers standard_normal permuted randint randn rand random_sample random_integers normalvariate gauss choices
getrandbits randrange multivariate_normal standard_exponential standard_gamma standard_cauchy standard_t
normal uniform random choice permutation poisson binomial exponential geometric dirichlet lognormal laplace rayleigh
weibull triangular multinomial hypergeometric chisquare gumbel logistic vonmises pareto negative_binomial
betavariate expovariate gammavariate lognormvariate paretovariate vonmisesvariate weibullvariate
""")

# Methods whose names say that they change their object, also where something is done with what they return: a handle
# of what was added, the next question of a study, what an environment answers. What they leave is seldom comparable.
_CHANGING_VERBS = (
    "add_", "append_", "delete_", "enqueue", "insert_", "pop_", "push", "register", "remove_", "suggest_", "update_",
)  # fmt: skip
_CHANGING_WORDS = words("ask tell step reset")
# On a figure of bokeh each method draws.
_DRAWN_ON = "bokeh.plotting.figure"


def is_said_to_change(method: str, kind: str) -> bool:
    """Whether a method that no table names changes its object, which is of this kind, by all that is known.

    >>> is_said_to_change("add_child", ""), is_said_to_change("predict", "")
    (True, False)
    """
    is_said = method.startswith(_CHANGING_VERBS) or method in _CHANGING_WORDS
    return (is_said and method not in UNCHANGING) or kind == _DRAWN_ON


# Change their object when nothing is done with what they return: some type returns a changed copy under this name.
CHANGING_AS_STATEMENT = words("""
add sort reverse shuffle fill resize partition byteswap truncate replace drop rename add_field set eval train step
subtract compile partial_update set_index reset_index sort_values sort_index
""") - words("replace drop rename set_index reset_index sort_values sort_index")

_PLAIN = words("""
count index copy get items keys values union intersection difference issubset issuperset isdisjoint
symmetric_difference most_common elements total
capitalize casefold center encode decode endswith expandtabs find format format_map isalnum isalpha isascii isdecimal
isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip maketrans partition
removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip
swapcase title translate upper zfill hex fromhex
group groups groupdict span start end match search fullmatch findall finditer sub subn
conjugate as_integer_ratio bit_length bit_count is_integer to_bytes from_bytes
isoformat strftime timestamp date time timetuple weekday isoweekday isocalendar astimezone total_seconds utcoffset
exists is_file is_dir iterdir glob rglob read_text read_bytes write_text write_bytes mkdir unlink rmdir touch stat
resolve absolute with_suffix with_name with_stem relative_to as_posix expanduser samefile joinpath
debug info warning warn error exception critical log isEnabledFor getEffectiveLevel
tell fileno isatty readable writable seekable
json raise_for_status iter_content iter_lines
acquire locked wait is_set result done cancelled is_alive
""")

_PANDAS = words("""
abs add add_prefix add_suffix agg aggregate align all any apply argmax argmin argsort asfreq asof assign astype at_time
autocorr between between_time bfill boxplot case_when clip combine combine_first compare convert_dtypes copy corr
corrwith count cov cummax cummin cumprod cumsum describe diff div divide divmod dot drop drop_duplicates droplevel
dropna duplicated eq equals eval ewm expanding explode factorize ffill fillna filter first_valid_index floordiv ge get
groupby gt head hist idxmax idxmin infer_objects info interpolate isin isna isnull item items iterrows itertuples join
keys kurt kurtosis last_valid_index le lt map mask max mean median melt memory_usage merge min mod mode mul multiply ne
nlargest notna notnull nsmallest nunique pct_change pipe pivot pivot_table plot pow prod product quantile query radd
rank rdiv rdivmod reindex reindex_like rename rename_axis reorder_levels repeat replace resample reset_index rfloordiv
rmod rmul rolling round rpow rsub rtruediv sample searchsorted select select_dtypes sem set_axis set_flags set_index
shift skew sort_index sort_values squeeze stack std sub subtract sum swaplevel tail take to_clipboard to_csv to_dict
to_excel to_feather to_frame to_hdf to_html to_iceberg to_json to_latex to_list to_markdown to_numpy to_orc to_parquet
to_period to_pickle to_records to_sql to_stata to_string to_timestamp to_xarray to_xml tolist transform transpose
truediv truncate tz_convert tz_localize unique unstack value_counts var where xs
as_unit asof_locs ceil day_name delete floor get_indexer get_indexer_for get_indexer_non_unique get_level_values get_loc
get_slice_bound identical indexer_at_time indexer_between_time month_name normalize ravel set_names slice_indexer
slice_locs snap sortlevel to_flat_index to_julian_date to_pydatetime to_series view
cumcount first get_group last ngroup ohlc size nth
cat contains extract extractall get_dummies len pad slice slice_replace wrap
bar barh line area pie scatter hexbin box kde density
style background_gradient highlight_max highlight_min hide set_caption set_properties map_index to_typst
""")

_NUMPY = words("""
all any argmax argmin argpartition argsort astype choose clip compress conj conjugate copy cumprod cumsum diagonal dot
dump dumps flatten getfield item max mean min nonzero prod ravel repeat reshape round searchsorted squeeze std sum
swapaxes take to_device tobytes tofile tolist trace transpose var view get_state spawn
""")

_POLARS = words("""
alias and_ approx_n_unique arg_max arg_min arg_sort arg_true arg_unique backward_fill bottom_k cast cbrt chunk_lengths
clone collect collect_schema cos cosh cum_count cum_max cum_min cum_prod cum_sum cut degrees drop_nans
drop_nulls entropy
eq_missing estimated_size ewm_mean ewm_std ewm_sum ewm_var exclude exp explain fill_nan fill_null fold forward_fill
gather gather_every get_column get_column_index get_columns glimpse group_by group_by_dynamic has_nulls hash hash_rows
hstack implode index_of interpolate_by is_between is_close is_duplicated is_empty is_finite is_first_distinct is_in
is_infinite is_last_distinct is_nan is_not_nan is_not_null is_null is_sorted is_unique iter_columns iter_rows
iter_slices join_asof join_where lazy limit log10 log1p lower_bound map_batches map_columns map_elements map_rows
max_horizontal mean_horizontal merge_sorted min_horizontal n_chunks n_unique nan_max nan_min ne_missing neg not_
null_count or_ over partition_by peak_max peak_min pct qcut radians rechunk repeat_by replace_strict rle rle_id
rolling_map rolling_max rolling_mean rolling_median rolling_min rolling_quantile rolling_skew rolling_std rolling_sum
rolling_var row rows rows_by_key search_sorted serialize shrink_to_fit sign sin sinh sink_csv sink_ipc sink_ndjson
sink_parquet sort_by sql sqrt sum_horizontal tan tanh to_arrow to_dicts to_dummies to_init_repr to_pandas to_physical
to_struct to_torch top_k top_k_by unique_counts unnest unpivot upper_bound upsample vstack with_columns
with_columns_seq with_row_index write_avro write_clipboard write_csv write_database write_delta write_excel write_ipc
write_json write_ndjson write_parquet xor zip_with otherwise then when
""")

_SKLEARN = words("""
predict predict_proba predict_log_proba decision_function transform inverse_transform score get_params
get_feature_names_out score_samples staged_predict staged_predict_proba kneighbors kneighbors_graph radius_neighbors
apply decision_path get_n_splits perplexity bic aic mahalanobis error_norm sparsify_copy get_support
forecast get_prediction conf_int summary summary2 params_table
""")

_NETWORKX = words("""
adjacency copy edge_subgraph get_edge_data has_edge has_node has_predecessor has_successor is_directed is_multigraph
nbunch_iter neighbors number_of_edges number_of_nodes order predecessors size subgraph successors to_directed
to_undirected
""")

_GEOPANDAS = words("""
buffer clip contains covered_by covers crosses disjoint dissolve distance estimate_utm_crs explore intersection
intersects overlaps overlay representative_point set_crs set_geometry simplify sindex sjoin sjoin_nearest
symmetric_difference to_crs to_wkb to_wkt touches unary_union union_all within
""")

_SHOWING = words("""
show display plot hist info head describe savefig save to_file print_summary _repr_html_ render render_svg
""")

# Each draw changes the generator that it is from, whatever it is called.
GENERATOR_KINDS = words("random.Random numpy.random.RandomState numpy.random.Generator numpy.random.default_rng")
ASKING_GENERATORS = words("get_state getstate")

# Figures, axes and what is on them: methods that draw, set or add anything change them.
DRAWINGS = ("matplotlib.", "seaborn.", "bokeh.plotting.")
# Of the same libraries: recipes of a drawing. Whatever a method adds, it adds to a copy that it gives.
RECIPES = ("seaborn.objects.",)
# And what makes no drawing: colours, dates, tables.
_NO_DRAWINGS = words("""
load_dataset get_dataset_names axes_style plotting_context desaturate saturate set_hls_values get_cmap imread
""")
_WITHOUT_DRAWINGS = ("matplotlib.cbook.", "matplotlib.cm.", "matplotlib.colors.", "matplotlib.dates.")
# What is on them, or in an array of them.
_PARTS_OF_DRAWINGS = words("""
ravel flatten reshape transpose tolist item copy findobj get_axes get_children get_figure get_legend get_lines
get_patches get_texts get_xaxis get_yaxis get_xticklabels get_yticklabels get_xticklines get_yticklines get_xgridlines
get_ygridlines
""")
_ASKING_DRAWINGS = words("savefig show contains properties pchanged draw")
# Methods of a table, and of its `.plot`, that give axes.
PLOTTING = words("plot hist boxplot bar barh line area pie scatter hexbin kde density box")


def makes_drawing(dotted: str) -> bool:
    """Whether what calling this gives is drawn on.

    >>> makes_drawing("matplotlib.pyplot.subplots"), makes_drawing("seaborn.load_dataset")
    (True, False)
    """
    last = dotted.rpartition(".")[2]
    if last in _NO_DRAWINGS or last.endswith("_palette"):
        return False
    return dotted.startswith(DRAWINGS) and not (dotted.startswith(_WITHOUT_DRAWINGS) and last.islower())


def changes_drawing(name: str) -> bool:
    """Whether a method of this name changes the figure or the axes that it is called on."""
    is_asking = name in _ASKING_DRAWINGS or name in _PARTS_OF_DRAWINGS
    return not is_asking and not name.startswith(("get_", "is_", "has_", "can_", "__"))


def gives_drawing(name: str) -> bool:
    """Whether what a method of this name gives is on the figure or the axes, too; else it is a text, a number."""
    return name in _PARTS_OF_DRAWINGS or changes_drawing(name)


_TENSORS = words("""
detach cpu cuda numpy to float double half long int bool contiguous unsqueeze expand permute matmul mm softmax
log_softmax sigmoid relu parameters named_parameters state_dict children modules
""")

_IMAGES = words("""
crop rotate_copy thumbnail_copy convert getpixel getbbox getdata getextrema histogram point quantize split tobytes
getchannel resize_copy filter transpose
""")

# Known not to change their object, whatever its type is.
UNCHANGING = (
    (_PLAIN | _PANDAS | _NUMPY | _POLARS | _SKLEARN | _NETWORKX | _GEOPANDAS | _SHOWING | _TENSORS | _IMAGES)
    - CHANGING
    - CHANGING_AS_STATEMENT
)

# Of those, the ones whose result may be the object, a part of it, or a view of its memory.
SHARING = words("""
get items keys values view reshape ravel squeeze transpose swapaxes diagonal getfield to_numpy numpy detach cpu cuda to
contiguous unsqueeze expand permute parameters named_parameters children modules state_dict to_device astype
pop popitem popleft setdefault fit set_params set_output partial_fit groups adjacency get_edge_data subgraph
edge_subgraph neighbors successors predecessors get_columns get_column row rows iter_rows iter_columns elements
result first last group_by_view rechunk lazy clone set_flags pipe alias cast
""")

# A copy that holds the same elements.
SHALLOW = words("copy union intersection difference symmetric_difference most_common")

# Methods of tables that look at the table only when what they give is used, which has this kind behind the name of the
# library; and those that give an iterator.
LATE_KIND = ".late"
LATE = words("groupby group_by group_by_dynamic rolling expanding ewm resample")
ITERATING = words("iterrows itertuples items iter_rows iter_columns iter_slices")

# Methods that code calls without naming them: what operators do, by the operators of the syntax tree, and others.
OPERATORS = {
    "Add": "__add__", "Sub": "__sub__", "Mult": "__mul__", "Div": "__truediv__", "FloorDiv": "__floordiv__",
    "Mod": "__mod__", "Pow": "__pow__", "MatMult": "__matmul__", "LShift": "__lshift__", "RShift": "__rshift__",
    "BitAnd": "__and__", "BitOr": "__or__", "BitXor": "__xor__",
}  # fmt: skip
CALLED_BY_PYTHON = frozenset(OPERATORS.values()) | words("""
__enter__ __exit__ __aenter__ __aexit__ __iter__ __next__ __aiter__ __anext__ __getitem__ __missing__ __contains__
__call__
""")

# Attributes that are another face of the object itself.
FACES = words("loc iloc at iat flat T values array real imag data str dt cat index columns plot style sparse ix")

# Methods after which the object holds what it was given.
HOLDING = words("""
append appendleft extend extendleft insert setdefault update add put put_nowait add_node add_edge add_nodes_from
add_edges_from setattr set_params fit
""")

# The only methods of tables that change them, but for `inplace=True`.
TABLE_CHANGING = {
    "pandas": words("insert pop update isetitem"),
    "polars": words("insert_column replace_column drop_in_place extend append"),
}

# Methods of containers: they change the container, not what is in it.
CONTAINER_METHODS = words("""
append appendleft extend extendleft insert remove clear pop popitem popleft setdefault discard update sort
reverse rotate
intersection_update difference_update symmetric_difference_update move_to_end add
""")

# Kinds of objects that leave alone what they were made of, but for compositions of estimators.
KEEPING_KINDS = (
    "list",
    "dict",
    "set",
    "pandas.",
    "polars.",
    "numpy.",
    "seaborn.",
    "statsmodels.",
    "scipy.",
    "networkx.",
    "sklearn.linear_model",
    "sklearn.tree",
    "sklearn.svm",
    "sklearn.cluster",
    "sklearn.decomposition",
    "sklearn.preprocessing",
    "sklearn.neighbors",
    "sklearn.naive_bayes",
    "sklearn.model_selection",
    "xgboost.",
    "lightgbm.",
)

# Types whose values cannot change: `+=` on them binds the name anew.
IMMUTABLE = words("int float complex str bytes bool None tuple frozenset date range")
# Methods of these that make a list.
MAKING_LISTS = words("split rsplit splitlines")

# Libraries whose functions leave their arguments as they are and return something new, but for the next two tables.
KNOWN_LIBRARIES = words("""
numpy pandas polars matplotlib sklearn scipy seaborn statsmodels networkx math cmath statistics random itertools
functools operator collections re json csv pickle os sys time datetime calendar pathlib shutil glob tempfile io string
textwrap hashlib base64 uuid copy pprint logging warnings typing dataclasses enum decimal fractions heapq bisect zlib
gzip zipfile tarfile sqlite3 urllib requests httpx bs4 lxml yaml toml tomllib PIL cv2 skimage imageio plotly
altair bokeh
duckdb pyarrow torch torchvision tensorflow keras xgboost lightgbm catboost nltk spacy gensim transformers IPython
ipywidgets joblib tqdm contextlib abc inspect platform subprocess threading concurrent asyncio multiprocessing locale
signal gc traceback types secrets unicodedata difflib html xml email sympy geopandas shapely folium dask xarray
pydantic attr sqlalchemy rich builtins importlib dotenv wordcloud szal_nb array struct configparser argparse
""")

# Functions that change arguments: positions, counted from 0.
FUNCTION_CHANGES: dict[str, tuple[int, ...]] = {
    "setattr": (0,),
    "delattr": (0,),
    "next": (0,),
    "anext": (0,),
    "random.shuffle": (0,),
    "numpy.random.shuffle": (0,),
    "numpy.copyto": (0,),
    "numpy.put": (0,),
    "numpy.place": (0,),
    "numpy.putmask": (0,),
    "numpy.put_along_axis": (0,),
    "numpy.fill_diagonal": (0,),
    "heapq.heappush": (0,),
    "heapq.heappop": (0,),
    "heapq.heapify": (0,),
    "heapq.heapreplace": (0,),
    "heapq.heappushpop": (0,),
    "bisect.insort": (0,),
    "bisect.insort_left": (0,),
    "bisect.insort_right": (0,),
    "operator.setitem": (0,),
    "operator.delitem": (0,),
    "operator.iadd": (0,),
    "operator.iconcat": (0,),
    "json.dump": (1,),
    "pickle.dump": (1,),
    "csv.writer": (0,),
    "shutil.copyfileobj": (0, 1),
    "networkx.set_node_attributes": (0,),
    "xml.etree.ElementTree.SubElement": (0,),
    "lxml.etree.SubElement": (0,),
    "networkx.set_edge_attributes": (0,),
    "networkx.add_path": (0,),
    "networkx.add_cycle": (0,),
    "networkx.add_star": (0,),
    "networkx.freeze": (0,),
    "networkx.double_edge_swap": (0,),
    "networkx.connected_double_edge_swap": (0,),
    "networkx.directed_edge_swap": (0,),
    "matplotlib.pyplot.colorbar": (0,),
    "matplotlib.pyplot.clabel": (0,),
    "skimage.draw.set_color": (0,),
    "skimage.graph.cut_threshold": (1,),
    "skimage.graph.cut_normalized": (1,),
    "skimage.graph.merge_hierarchical": (1,),
    "sqlalchemy.event.listen": (0,),
    # What it makes writes there with each round.
    "lightgbm.record_evaluation": (0,),
    # A table is entered into what it is given.
    "sqlalchemy.Table": (1,),
    "sqlalchemy.schema.Table": (1,),
    "torch.nn.utils.clip_grad_norm_": (0,),
    "joblib.parallel_backend": (),
}

# Methods that write to a database: which argument, counted from 0, it is.
WRITING_TO = {"to_sql": (1, "con"), "create_all": (0, "bind"), "drop_all": (0, "bind"), "to_postgis": (1, "con")}

# Methods of duckdb whose result has nothing to do with the connection any more.
FETCHING = words("""
df fetchdf fetch_df to_df pl fetchall fetchone fetchmany fetchnumpy to_arrow_table arrow torch tf
""")

# What makes objects that keep their arguments, but is no class by its name.
FACTORIES = words("""
sqlalchemy.orm.sessionmaker sqlalchemy.orm.scoped_session sqlalchemy.inspect sqlalchemy.ext.asyncio.async_sessionmaker
""")

# Functions whose result may be an argument, or share its memory.
FUNCTION_SHARES = words("""
numpy.asarray numpy.asanyarray numpy.ascontiguousarray numpy.atleast_1d numpy.atleast_2d numpy.atleast_3d numpy.ravel
numpy.reshape numpy.squeeze numpy.transpose numpy.swapaxes numpy.moveaxis numpy.rollaxis numpy.expand_dims
numpy.broadcast_to numpy.split numpy.array_split numpy.hsplit numpy.vsplit numpy.diagonal numpy.frombuffer
numpy.lib.stride_tricks.as_strided numpy.lib.stride_tricks.sliding_window_view numpy.flip numpy.rot90 numpy.real
numpy.imag numpy.nan_to_num torch.from_numpy torch.as_tensor max min getattr vars memoryview next typing.cast
functools.partial super iter aiter anext operator.getitem xml.etree.ElementTree.SubElement lxml.etree.SubElement
""")

# Functions whose result is new but holds the elements of their arguments.
FUNCTION_HOLDS = words("""
list tuple set frozenset dict sorted reversed enumerate zip map filter copy.copy itertools.chain itertools.islice
itertools.cycle itertools.product itertools.permutations itertools.combinations itertools.groupby itertools.tee
itertools.chain.from_iterable collections.OrderedDict collections.defaultdict collections.deque collections.ChainMap
collections.Counter types.SimpleNamespace sum
""")

# Asked for a key that it has not, it makes one.
MISSING_KEYS = "collections.defaultdict"

# Of all functions, the ones whose result runs a function that they were given later; classes do, too.
KEEPING_CODE = words("""
map filter enumerate zip iter reversed dict functools.partial functools.partialmethod
collections.defaultdict types.SimpleNamespace types.MethodType copy.copy setattr
""")

# Kinds of values that going through uses up, and the functions that do not go through what they are given.
USED_UP = words("""
generator map zip filter enumerate iter reversed file csv.reader csv.DictReader
itertools.chain itertools.cycle itertools.count itertools.repeat itertools.islice itertools.starmap itertools.takewhile
itertools.dropwhile itertools.accumulate itertools.product itertools.permutations itertools.combinations
itertools.zip_longest itertools.groupby itertools.pairwise itertools.batched itertools.compress itertools.filterfalse
itertools.combinations_with_replacement
""")
# Of these kinds, the ones whose elements are what a function gives.
RUNNING = words("generator map filter")
NOT_GOING_THROUGH = words("print isinstance type id repr callable hasattr iter getattr next map zip filter enumerate")

# Names under which these modules are nearly always imported: used where no import is in sight.
CONVENTIONS = {
    "np": "numpy",
    "pd": "pandas",
    "pl": "polars",
    "plt": "matplotlib.pyplot",
    "mpl": "matplotlib",
    "sns": "seaborn",
    "nx": "networkx",
    "sm": "statsmodels.api",
    "tf": "tensorflow",
    "px": "plotly.express",
    "go": "plotly.graph_objects",
    "alt": "altair",
    "torch": "torch",
    "duckdb": "duckdb",
    "sklearn": "sklearn",
    "scipy": "scipy",
    "os": "os",
    "sys": "sys",
    "re": "re",
    "json": "json",
    "math": "math",
    "random": "random",
    "time": "time",
    "datetime": "datetime",
    "warnings": "warnings",
    "locale": "locale",
    "signal": "signal",
    "logging": "logging",
    "itertools": "itertools",
    "collections": "collections",
    "sqlite3": "sqlite3",
    "copy": "copy",
    "heapq": "heapq",
}
