"""Hidden state: what steps share without a name, and which calls use it.

A use is a write when it changes the state or depends on how often others used it (a draw from a generator).
"""

from __future__ import annotations

from functools import lru_cache

from szal_nb.analysis.tables import words
from szal_nb.model.kept import WARNINGS_ARE_OWN, patch_state

RANDOM = "random"
NUMPY_RANDOM = "numpy.random"
TORCH_RANDOM = "torch.random"
TENSORFLOW_RANDOM = "tensorflow.random"
PYPLOT = "pyplot"
# How figures look: whoever draws depends on it.
LOOKS = "matplotlib options"
# Begins the state of a module, which is changed when something is assigned to what it holds.
MODULE = "module "
DIRECTORY = "working directory"
ENVIRONMENT = "environment"
PANDAS_OPTIONS = "pandas options"
NUMPY_OPTIONS = "numpy options"
WARNINGS = "warnings filters"
LOCALE = "locale"
SIGNALS = "signals"
STDOUT = "standard output"
IMPORT_PATH = "import path"
LOGGING = "logging"
POLARS_OPTIONS = "polars options"
SKLEARN_OPTIONS = "sklearn options"
TORCH_OPTIONS = "torch options"
XARRAY_OPTIONS = "xarray options"
ALTAIR_OPTIONS = "altair options"
DASK_OPTIONS = "dask options"
# Systems of control that are given no name are numbered, and are known to each other by that.
SYSTEM_NAMES = "names of systems"

_LIBRARY_OPTIONS = frozenset(
    {POLARS_OPTIONS, SKLEARN_OPTIONS, TORCH_OPTIONS, XARRAY_OPTIONS, ALTAIR_OPTIONS, DASK_OPTIONS}
)
# Settings of the whole process: any call may depend on them, so a write is ordered with every step that calls anything.
PROCESS_WIDE = frozenset(
    {DIRECTORY, ENVIRONMENT, PANDAS_OPTIONS, NUMPY_OPTIONS, WARNINGS, LOCALE, STDOUT, IMPORT_PATH, LOGGING}
    | _LIBRARY_OPTIONS
)

# What `--changes` may name besides values, with "-" for a space.
NAMED = {
    state.replace(" ", "-"): state
    for state in (
        *PROCESS_WIDE,
        RANDOM,
        NUMPY_RANDOM,
        TORCH_RANDOM,
        TENSORFLOW_RANDOM,
        PYPLOT,
        LOOKS,
        SIGNALS,
        SYSTEM_NAMES,
    )
}


def spelled(state: str) -> str:
    """A state as `--changes` and `--pure` name it.

    >>> spelled("working directory")
    'working-directory'
    """
    return state.replace(" ", "-")


# Dotted things whose call is a write.
_WRITING_CALLS: dict[str, str] = {
    "os.chdir": DIRECTORY,
    "os.fchdir": DIRECTORY,
    "contextlib.chdir": DIRECTORY,
    "os.putenv": ENVIRONMENT,
    "os.unsetenv": ENVIRONMENT,
    "dotenv.load_dotenv": ENVIRONMENT,
    "pandas.set_option": PANDAS_OPTIONS,
    "pandas.reset_option": PANDAS_OPTIONS,
    "pandas.option_context": PANDAS_OPTIONS,
    "pandas.set_eng_float_format": PANDAS_OPTIONS,
    "polars.Config": POLARS_OPTIONS,
    "sklearn.set_config": SKLEARN_OPTIONS,
    "sklearn.config_context": SKLEARN_OPTIONS,
    "xarray.set_options": XARRAY_OPTIONS,
    "dask.config.set": DASK_OPTIONS,
    "numpy.seterr": NUMPY_OPTIONS,
    "numpy.errstate": NUMPY_OPTIONS,
    "numpy.seterrcall": NUMPY_OPTIONS,
    "numpy.set_printoptions": NUMPY_OPTIONS,
    "numpy.printoptions": NUMPY_OPTIONS,
    "warnings.filterwarnings": WARNINGS,
    "warnings.simplefilter": WARNINGS,
    "warnings.resetwarnings": WARNINGS,
    "warnings.catch_warnings": WARNINGS,
    "locale.setlocale": LOCALE,
    "signal.signal": SIGNALS,
    "signal.alarm": SIGNALS,
    "signal.setitimer": SIGNALS,
    "contextlib.redirect_stdout": STDOUT,
    "contextlib.redirect_stderr": STDOUT,
    "logging.basicConfig": LOGGING,
    "logging.disable": LOGGING,
    "logging.captureWarnings": LOGGING,
    "logging.config.dictConfig": LOGGING,
    "matplotlib.rc": PYPLOT,
    "matplotlib.use": PYPLOT,
    "matplotlib.rcdefaults": PYPLOT,
    "matplotlib.rc_context": PYPLOT,
    "pandas.plotting.scatter_matrix": PYPLOT,
    "pandas.plotting.parallel_coordinates": PYPLOT,
    "torch.manual_seed": TORCH_RANDOM,
    "torch.seed": TORCH_RANDOM,
    "torch.set_rng_state": TORCH_RANDOM,
    **{
        f"torch.{name}": TORCH_OPTIONS
        for name in words("""
    set_default_dtype set_default_device set_num_threads set_grad_enabled set_printoptions
    use_deterministic_algorithms set_float32_matmul_precision autograd.set_grad_enabled
    """)
    },
    "scipy.stats.bootstrap": NUMPY_RANDOM,
}

# What changes how later figures look, until something else does: calls, and the mappings that are changed.
_PYPLOT_LOOKS = words("rc rcdefaults rc_file rc_file_defaults style.use xkcd set_cmap")
_SETTING_LOOKS = frozenset({
    *(f"{module}.{name}" for module in ("matplotlib", "matplotlib.pyplot", "pylab") for name in _PYPLOT_LOOKS),
    *(f"seaborn.{name}" for name in words("set set_theme set_style set_context set_palette set_color_codes")),
    *(f"seaborn.{name}" for name in words("reset_defaults reset_orig")),
})  # fmt: skip
_LOOKS_KEPT = ("matplotlib.rcParams", "matplotlib.pyplot.rcParams", "pylab.rcParams")

# What `tqdm.pandas` puts on classes of pandas.
WITH_PROGRESS = tuple(
    f"pandas.{kind}.progress_{method}"
    for kind in ("DataFrame", "Series", "core.groupby.generic.DataFrameGroupBy", "core.groupby.generic.SeriesGroupBy")
    for method in ("apply", "map", "aggregate", "transform")
)

# Calls that put something on a class of a library, by the name that they are given.
EXTENDING: dict[str, str] = {
    "pandas.api.extensions.register_dataframe_accessor": "pandas.DataFrame",
    "pandas.api.extensions.register_series_accessor": "pandas.Series",
    "pandas.api.extensions.register_index_accessor": "pandas.Index",
    "polars.api.register_dataframe_namespace": "polars.DataFrame",
    "polars.api.register_lazyframe_namespace": "polars.LazyFrame",
    "polars.api.register_series_namespace": "polars.Series",
    "polars.api.register_expr_namespace": "polars.Expr",
    "xarray.register_dataarray_accessor": "xarray.DataArray",
    "xarray.register_dataset_accessor": "xarray.Dataset",
}

# Modules of which every use is a write, but for what stands behind the colon.
_WRITING_MODULES: dict[str, tuple[str, frozenset[str]]] = {
    "matplotlib.pyplot": (PYPLOT, words("cm get_cmap colormaps Normalize Figure Axes")),
    "pylab": (PYPLOT, frozenset()),
    "seaborn": (PYPLOT, words("load_dataset color_palette husl_palette get_dataset_names")),
    "random": (RANDOM, words("Random SystemRandom getstate")),
    "numpy.random": (
        NUMPY_RANDOM,
        words("default_rng Generator RandomState SeedSequence PCG64 MT19937 Philox SFC64 BitGenerator get_state"),
    ),
    "tensorflow.random": (TENSORFLOW_RANDOM, words("Generator")),
    "torch.nn.init": (TORCH_RANDOM, frozenset()),
}

_TORCH_DRAWS = words("""
rand randn randint randperm normal bernoulli multinomial rand_like randn_like randint_like poisson
""")
# Modules of torch whose making draws weights.
_TORCH_LAYERS = words("""
Linear Conv1d Conv2d Conv3d Embedding LSTM GRU RNN Bilinear ConvTranspose1d ConvTranspose2d MultiheadAttention
Transformer TransformerEncoderLayer
""")

# Attributes whose assignment, item assignment or change is a write.
_WRITING_STORES: dict[str, str] = {
    "os.environ": ENVIRONMENT,
    "pandas.options": PANDAS_OPTIONS,
    "matplotlib.rcParams": PYPLOT,
    "matplotlib.pyplot.rcParams": PYPLOT,
    "sys.stdout": STDOUT,
    "sys.stderr": STDOUT,
    "sys.path": IMPORT_PATH,
    "sys.modules": IMPORT_PATH,
    "warnings.filters": WARNINGS,
}

# scikit-learn (and friends): draw from numpy's global generator when `random_state` is not given. Some have no such
# argument, and many use nothing of what they draw; a test asks all.
_UNSEEDED = words("""
train_test_split KFold StratifiedKFold ShuffleSplit StratifiedShuffleSplit GroupShuffleSplit RepeatedKFold
RepeatedStratifiedKFold RandomizedSearchCV HalvingRandomSearchCV HalvingGridSearchCV shuffle resample
RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor RandomTreesEmbedding
GradientBoostingClassifier GradientBoostingRegressor HistGradientBoostingClassifier HistGradientBoostingRegressor
AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor IsolationForest DecisionTreeClassifier
DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor MLPClassifier MLPRegressor BernoulliRBM
KMeans MiniBatchKMeans BisectingKMeans SpectralClustering GaussianMixture BayesianGaussianMixture
TSNE MDS SpectralEmbedding PCA TruncatedSVD NMF MiniBatchNMF FastICA DictionaryLearning SparsePCA
LatentDirichletAllocation SGDClassifier SGDRegressor SGDOneClassSVM Perceptron PassiveAggressiveClassifier
PassiveAggressiveRegressor LinearSVC LinearSVR RANSACRegressor TheilSenRegressor Nystroem RBFSampler
GaussianRandomProjection SparseRandomProjection QuantileTransformer IterativeImputer permutation_importance
mutual_info_classif mutual_info_regression make_classification make_regression make_blobs make_moons make_circles
make_friedman1 make_friedman2 make_friedman3 make_s_curve make_swiss_roll make_low_rank_matrix make_biclusters
make_checkerboard make_gaussian_quantiles make_hastie_10_2 make_multilabel_classification make_sparse_coded_signal
make_sparse_spd_matrix make_sparse_uncorrelated make_spd_matrix randomized_svd k_means kmeans_plusplus fastica smacof
spectral_clustering spectral_embedding dict_learning dict_learning_online
SVC SVR NuSVC NuSVR OneClassSVM Lasso LassoCV ElasticNet ElasticNetCV GraphicalLasso GraphicalLassoCV
AffinityPropagation EllipticEnvelope MinCovDet MiniBatchDictionaryLearning MiniBatchSparsePCA PolynomialCountSketch
SkewedChi2Sampler SpectralBiclustering SpectralCoclustering
fetch_olivetti_faces BalancedRandomForestClassifier SMOTE ADASYN RandomOverSampler RandomUnderSampler UMAP
""")
_UNSEEDED_ROOTS = frozenset({"sklearn", "imblearn", "umap"})
# Those of them that draw only when told to shuffle.
_SHUFFLERS = frozenset({"KFold", "StratifiedKFold"})

# What draws with pyplot, by its name alone: `shap.summary_plot`, `control.bode_plot`, `sklearn.tree.plot_tree`.
_BEGINS_AS_DRAWING = ("plot_", "draw_", "imshow")
_ENDS_AS_DRAWING = ("plot", "imshow", "dendrogram")
_MODULES_THAT_DRAW = frozenset({"plotting", "plots"})
_NAMES_THAT_DRAW = {"control": words("bode nyquist nichols gangof4 rlocus sisotool pzmap phase_portrait")}
# Those have pictures of their own.
_WITHOUT_PYPLOT = frozenset({"plotly", "bokeh", "altair", "holoviews", "hvplot", "panel"})

# networkx draws from `random` or numpy when `seed` is not given: all that it decorates with `py_random_state` or
# `np_random_state`.
_NETWORKX_DRAWS = words("""
LFR_benchmark_graph algebraic_connectivity approximate_current_flow_betweenness_centrality arf_layout asadpour_atsp
asyn_fluidc asyn_lpa_communities barabasi_albert_graph configuration_model connected_double_edge_swap
connected_watts_strogatz_graph dense_gnm_random_graph directed_configuration_model directed_edge_swap
directed_joint_degree_graph discrete_sequence double_edge_swap dual_barabasi_albert_graph duplication_divergence_graph
expected_degree_graph extended_barabasi_albert_graph fast_gnp_random_graph fast_label_propagation_communities
fiedler_vector forceatlas2_layout gaussian_random_partition_graph general_random_intersection_graph
generate_random_paths geographical_threshold_graph geometric_soft_configuration_graph gn_graph gnc_graph
gnm_random_graph gnmk_random_graph gnp_random_graph gnr_graph greedy_branching greedy_k_edge_augmentation
joint_degree_graph k_random_intersection_graph lattice_reference leiden_communities leiden_partitions
louvain_communities louvain_partitions maximal_independent_set navigable_small_world_graph
newman_watts_strogatz_graph omega one_exchange panther_similarity panther_vector_similarity
partial_duplication_graph planted_partition_graph powerlaw_cluster_graph powerlaw_sequence
preferential_attachment_graph random_clustered_graph random_cograph random_degree_sequence_graph
random_geometric_graph random_graph random_internet_as_graph random_kernel_graph random_labeled_rooted_forest
random_labeled_rooted_tree random_labeled_tree random_layout random_lobster random_lobster_graph
random_partition_graph random_powerlaw_tree random_powerlaw_tree_sequence random_reference random_regular_graph
random_shell_graph random_spanning_tree random_threshold_sequence random_tournament random_tree
random_uniform_k_out_graph random_unlabeled_rooted_forest random_unlabeled_rooted_tree random_unlabeled_tree
randomized_partitioning relaxed_caveman_graph scale_free_graph sigma simulated_annealing_tsp
soft_random_geometric_graph spanner spectral_graph_forge spectral_ordering spring_layout stochastic_block_model
threshold_accepting_tsp thresholded_random_geometric_graph uniform_random_intersection_graph watts_strogatz_graph
waxman_graph erdos_renyi_graph binomial_graph
""")
# What draws only for a sample of `k` nodes, and what lays a graph out unless it is given `pos`.
_NETWORKX_SAMPLES = words("betweenness_centrality edge_betweenness_centrality")
_NETWORKX_APPROXIMATIONS = frozenset(f"networkx.approximation.{name}" for name in ("average_clustering", "diameter"))
_NETWORKX_LAYOUTS = words("draw draw_networkx draw_spring draw_random draw_forceatlas2")

# Begins the kind of a value that is a dotted thing under another name.
_ALIAS = "="

# Methods of loggers, and of their handlers, by which they are set.
_SETTING_LOGGERS = words("setLevel addHandler removeHandler addFilter removeFilter setFormatter")

_PLOT_ACCESSORS = words("plot hist boxplot")
_DRAWING_METHODS = words("sample")
# Who goes through one draws the seed of its workers, also where it does not shuffle.
LOADER = "torch.utils.data.DataLoader"


# Context managers that set what counts for who entered them, and for nobody else.
OWN_WHILE_ENTERED = {
    **({"warnings.catch_warnings": WARNINGS} if WARNINGS_ARE_OWN else {}),
    "numpy.errstate": NUMPY_OPTIONS,
    "sklearn.config_context": SKLEARN_OPTIONS,
    "torch.set_grad_enabled": TORCH_OPTIONS,
    "torch.autograd.set_grad_enabled": TORCH_OPTIONS,
}


def is_within(dotted: str, prefix: str) -> bool:
    """Whether `dotted` is `prefix` or something inside it."""
    return dotted == prefix or dotted.startswith(prefix + ".")


def states_of_call(dotted: str, keywords: frozenset[str]) -> tuple[str, ...]:
    """The hidden states that calling `dotted` with these keyword arguments writes."""
    found = _WRITING_CALLS.get(dotted)
    if dotted in _SETTING_LOOKS:
        return (LOOKS,) if found is None else (found, LOOKS)
    if found is not None:
        return (found,)
    root, _, last = dotted.partition(".")[0], "", dotted.rpartition(".")[2]
    if (options := _options_set_by(dotted, last)) is not None:
        return (options,)
    if root == "logging" and last in _SETTING_LOGGERS:
        return (LOGGING,)
    if root == "torch":
        is_draw = last in _TORCH_DRAWS and "generator" not in keywords
        return (TORCH_RANDOM,) if is_draw or (last in _TORCH_LAYERS and ".nn." in dotted) else ()
    if root in _UNSEEDED_ROOTS and last in _UNSEEDED and "random_state" not in keywords:
        return () if last in _SHUFFLERS and "shuffle" not in keywords else (NUMPY_RANDOM,)
    if root == "scipy" and last == "rvs" and "random_state" not in keywords:
        return (NUMPY_RANDOM,)
    if root == "networkx":
        return _states_of_networkx(dotted, last, keywords)
    drawing = (PYPLOT,) if _is_named_as_drawing(dotted, root, last) else ()
    return (SYSTEM_NAMES, *drawing) if root == "control" else drawing


def _states_of_networkx(dotted: str, last: str, keywords: frozenset[str]) -> tuple[str, ...]:
    if last.startswith("draw"):
        return (PYPLOT, NUMPY_RANDOM) if last in _NETWORKX_LAYOUTS and "pos" not in keywords else (PYPLOT,)
    is_sample = "k" in keywords if last in _NETWORKX_SAMPLES else dotted in _NETWORKX_APPROXIMATIONS
    is_draw = is_sample or last in _NETWORKX_DRAWS
    return (RANDOM, NUMPY_RANDOM) if is_draw and "seed" not in keywords else ()


def _is_named_as_drawing(dotted: str, root: str, last: str) -> bool:
    if root in _WITHOUT_PYPLOT or "." not in dotted:
        return False
    is_drawing = last.startswith(_BEGINS_AS_DRAWING) or last.endswith(_ENDS_AS_DRAWING)
    return is_drawing or last in _NAMES_THAT_DRAW.get(root, ()) or not _MODULES_THAT_DRAW.isdisjoint(dotted.split("."))


def _options_set_by(dotted: str, last: str) -> str | None:
    """The options of a library that a method of what holds them sets.

    >>> _options_set_by("polars.Config.set_tbl_rows", "set_tbl_rows")
    'polars options'
    """
    if is_within(dotted, "polars.Config"):
        return POLARS_OPTIONS if last.startswith(("set_", "load", "restore_", "activate_")) else None
    is_altair = dotted.partition(".")[0] == "altair"
    return ALTAIR_OPTIONS if is_altair and last in {"enable", "disable_max_rows"} else None


@lru_cache(maxsize=10_000)
def states_of_use(dotted: str) -> tuple[str, ...]:
    """The hidden states that any use of `dotted` writes."""
    for module, (state, harmless) in _WRITING_MODULES.items():
        if is_within(dotted, module) and dotted != module:
            first = dotted[len(module) + 1 :].partition(".")[0]
            return () if first in harmless else (state,)
    return ()


def states_of_store(dotted: str) -> tuple[str, ...]:
    """The hidden states that assigning to `dotted`, or changing what it holds, writes."""
    if any(is_within(dotted, kept) for kept in _LOOKS_KEPT):
        return (PYPLOT, LOOKS)
    for prefix, state in _WRITING_STORES.items():
        if is_within(dotted, prefix):
            return (state,)
    own = (patch_state(dotted),) if all(map(str.isidentifier, dotted.split("."))) and "." in dotted else ()
    return (*(states_of_use(dotted) or (f"{MODULE}{dotted.partition('.')[0]}",)), *own)


@lru_cache(maxsize=10_000)
def states_of_reading(dotted: str) -> tuple[str, ...]:
    """The hidden states that looking at `dotted`, in whatever way, depends on.

    >>> states_of_reading("os.environ")
    ('environment',)
    """
    return tuple(state for prefix, state in _WRITING_STORES.items() if is_within(dotted, prefix))[:1]


def alias_of(dotted: str) -> str:
    """The kind of a value that is this dotted thing under another name, where using it uses hidden state; else empty.

    >>> alias_of("numpy.random.rand"), alias_of("math.pi")
    ('=numpy.random.rand', '')
    """
    return f"{_ALIAS}{dotted}" if states_of_use(dotted) or states_of_reading(dotted) else ""


def aliased(kind: str) -> str:
    """The dotted thing that a value of this kind is; empty if it is none."""
    return kind[1:] if kind.startswith(_ALIAS) else ""


def states_of_kind(kind: str) -> tuple[str, ...]:
    """The hidden states that methods of a value of this kind, and operators between such values, write.

    >>> states_of_kind("control.tf")
    ('names of systems',)
    """
    return (SYSTEM_NAMES,) if kind.startswith("control.") else ()


def states_of_method(name: str, keywords: frozenset[str]) -> tuple[str, ...]:
    """The hidden states that a method of this name writes, on an object of unknown type."""
    if name in _PLOT_ACCESSORS:
        return (PYPLOT,)
    if name in _DRAWING_METHODS and "random_state" not in keywords and "seed" not in keywords:
        return (NUMPY_RANDOM,)
    if name == "rvs" and "random_state" not in keywords:
        return (NUMPY_RANDOM,)
    if name in _SETTING_LOGGERS:
        return (LOGGING,)
    # Who trains drops out and shuffles.
    return (TORCH_RANDOM,) if name == "backward" else ()


def is_unseeded(dotted: str, keywords: frozenset[str]) -> bool:
    """Whether an estimator made this way draws from the global generator each time it is fitted."""
    return NUMPY_RANDOM in states_of_call(dotted, keywords) and dotted.rpartition(".")[2][:1].isupper()
