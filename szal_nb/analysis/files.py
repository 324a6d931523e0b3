"""Files that steps share: which calls read or write one, as far as its path can be told from the code.

Of calls that no table names, a text that ends as the names of files do is one: their own names tell whether it is only
read, else it may be written as well. A path is told by its text: literals, joined by `/`, `os.path.join`, `+` and
f-strings; what is not literal stands as `{name}`, a parameter of a function that is being summarised as
`{@function.parameter}`. Two paths are the same file if their texts are equal; a path that cannot be told orders
nothing but programs that are started, which may use any file (see `commands`). The hidden state of a file is `file:`
and its path.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

from szal_nb.analysis.tables import words

PREFIX = "file:"
# The path of a file that nobody can tell, which may be any: of a command of a shell, say.
ANY = "**"
_LONGEST_PATH = 200
_UNKNOWN = re.compile(r"\{[^}]*\}|[*?]+")
_LISTING = words("glob.glob glob.iglob")
# Which argument is the folder of which they read all that is in it.
_FOLDERS_READ = {"shutil.copytree": (0, "src"), "shutil.make_archive": (2, "root_dir")}
_MOVING = words("os.rename os.replace os.renames shutil.move")
_ARCHIVES = words("zipfile.ZipFile tarfile.open tarfile.TarFile")
_LISTING_FOLDERS = words("os.listdir os.scandir os.walk")
_PARAMETER = re.compile(r"\{(@[^}]*)\}")

# Which argument, counted from 0, is the path of the file that they write.
_WRITERS: dict[str, tuple[int, str]] = {
    "numpy.save": (0, "file"), "numpy.savez": (0, "file"), "numpy.savez_compressed": (0, "file"),
    "numpy.savetxt": (0, "fname"), "joblib.dump": (1, "filename"), "torch.save": (1, "f"),
    "matplotlib.pyplot.savefig": (0, "fname"), "matplotlib.pyplot.imsave": (0, "fname"),
    "cv2.imwrite": (0, "filename"), "imageio.imwrite": (0, "uri"), "skimage.io.imsave": (0, "fname"),
    "shutil.copy": (1, "dst"), "shutil.copyfile": (1, "dst"), "shutil.copy2": (1, "dst"), "shutil.move": (1, "dst"),
    "os.rename": (1, "dst"), "os.replace": (1, "dst"), "os.remove": (0, "path"), "os.unlink": (0, "path"),
    "shutil.copytree": (1, "dst"), "shutil.unpack_archive": (1, "extract_dir"),
    "os.makedirs": (0, "name"), "os.mkdir": (0, "path"), "shutil.rmtree": (0, "path"),
    "pandas.ExcelWriter": (0, "path"), "pandas.HDFStore": (0, "path"), "urllib.request.urlretrieve": (1, "filename"),
    "pyarrow.parquet.write_table": (1, "where"), "geopandas.GeoDataFrame.to_file": (1, "filename"),
    "networkx.write_gml": (1, "path"), "networkx.write_graphml": (1, "path"), "networkx.write_edgelist": (1, "path"),
    "sqlite3.connect": (0, "database"), "duckdb.connect": (0, "database"),
    "zarr.create_array": (0, "store"), "zarr.create_group": (0, "store"), "zarr.save": (0, "store"),
    "astropy.io.fits.writeto": (0, "filename"), "pyarrow.dataset.write_dataset": (1, "base_dir"),
    "shelve.open": (0, "filename"), "dbm.open": (0, "file"),
}  # fmt: skip
_READERS: dict[str, tuple[int, str]] = {
    "numpy.load": (0, "file"), "numpy.loadtxt": (0, "fname"), "numpy.genfromtxt": (0, "fname"),
    "numpy.fromfile": (0, "file"), "pyarrow.dataset.dataset": (0, "source"), "joblib.load": (0, "filename"),
    "torch.load": (0, "f"), "PIL.Image.open": (0, "fp"), "matplotlib.pyplot.imread": (0, "fname"),
    "cv2.imread": (0, "filename"), "imageio.imread": (0, "uri"), "imageio.v3.imread": (0, "uri"),
    "skimage.io.imread": (0, "fname"), "shutil.copy": (0, "src"), "shutil.copyfile": (0, "src"),
    "shutil.copy2": (0, "src"), "shutil.unpack_archive": (0, "filename"),
    "os.path.exists": (0, "path"), "os.path.isfile": (0, "path"),
    "os.path.getsize": (0, "filename"), "os.stat": (0, "path"), "pandas.ExcelFile": (0, "path_or_buffer"),
    "pyarrow.parquet.read_table": (0, "source"), "geopandas.read_file": (0, "filename"),
    "networkx.read_gml": (0, "path"), "networkx.read_graphml": (0, "path"), "networkx.read_edgelist": (0, "path"),
    "zarr.load": (0, "store"), "astropy.io.fits.getdata": (0, "filename"), "astropy.io.fits.getheader": (0, "filename"),
    "json.load": (0, "fp"), "zipfile.ZipFile": (0, "file"), "tarfile.open": (0, "name"),
}  # fmt: skip
_OPENERS = words("""
open io.open codecs.open gzip.open bz2.open lzma.open h5py.File zipfile.ZipFile tarfile.open netCDF4.Dataset
astropy.io.fits.open zarr.open zarr.open_array zarr.open_group numpy.memmap numpy.lib.format.open_memmap
""")
_READING_VERBS = ("read", "load", "open", "scan", "from", "parse", "imread", "get", "fetch", "exists", "is", "glob")
_SUFFIXES = words("""
csv tsv txt json jsonl ndjson yaml yml toml ini cfg parquet pq feather arrow ipc orc avro npy npz npmmap memmap h5 hdf5
hdf nc nc4 cdf zarr grib mat sav dta xls xlsx xlsm ods pkl pickle joblib pt pth ckpt safetensors onnx pb model bin dat
db sqlite sqlite3 duckdb gpkg geojson shp kml tif tiff png jpg jpeg gif bmp svg pdf eps html htm xml md tex log zip gz
bz2 xz tar tgz wav mp3 flac mp4 avi fasta fastq vcf bam bed gml graphml las sql cbm lp mps lock
""")
# Databases are named by addresses.
_ADDRESS = re.compile(r"[\w+]+:///")
_QUOTED = re.compile(r"'([^'\s]+)'")
# What these are given is text.
_TEXTUAL_MODULES = (
    "builtins.", "re.", "string.", "textwrap.", "logging.getLogger", "importlib.", "typing.", "os.path.", "pathlib.",
    "fnmatch.", "difflib.", "unittest.mock.",
)  # fmt: skip
_TEXTUAL_METHODS = words("""
append insert index count remove discard pop get setdefault update startswith endswith removeprefix removesuffix
replace split rsplit partition rpartition strip lstrip rstrip find rfind join format match fullmatch search sub
encode joinpath with_name with_suffix glob rglob relative_to is_relative_to info debug warning error exception critical
print write_str set_title set_xlabel set_ylabel title suptitle legend
""")
_WRITING_METHODS = words("""
to_csv to_parquet to_excel to_json to_pickle to_feather to_html to_latex to_stata to_xml to_hdf to_orc to_markdown
to_string to_file write_csv write_parquet write_json write_ipc write_excel write_ndjson write_avro sink_csv sink_parquet
sink_ipc sink_ndjson savefig save save_model save_weights tofile write_image write_html dump_model to_netcdf to_zarr
writeto
""")
_PATH_KEYWORDS = ("path_or_buf", "path", "fname", "excel_writer", "filename", "file", "fp", "buf")
# Methods of a path itself.
_WRITING_PATH_METHODS = words("write_text write_bytes touch unlink mkdir rmdir rename replace symlink_to")
_READING_PATH_METHODS = words("read_text read_bytes exists is_file stat")
_JOINING = words("pathlib.Path pathlib.PurePath pathlib.PosixPath os.path.join")
_HERE = words("os.getcwd pathlib.Path.cwd")
_SAME_PATH = words("str os.fspath os.path.abspath os.path.expanduser os.path.normpath os.path.realpath")


def path_of_call(dotted: str, paths: Sequence[str]) -> str:
    """The path that a call of a function makes from the paths of its arguments; empty if it makes none.

    >>> path_of_call("pathlib.Path", ["data", "{name}.csv"])
    'data/{name}.csv'
    """
    if dotted in _HERE or (dotted in _JOINING and not paths):
        return "."
    if dotted in _JOINING and all(paths):
        return posixpath.join(*paths)[:_LONGEST_PATH]
    if dotted in _LISTING_FOLDERS:
        return "*"
    if dotted in _LISTING and paths:
        return paths[0] if is_pattern(paths[0]) else ""
    if dotted in _SAME_PATH and len(paths) == 1:
        return paths[0]
    return ""


def joined(left: str, right: str, operator: ast.operator) -> str:
    """The path of `left / right` or `left + right`."""
    if not left or not right:
        return ""
    if isinstance(operator, ast.Div):
        return posixpath.join(left, right)[:_LONGEST_PATH]
    return f"{left}{right}"[:_LONGEST_PATH] if isinstance(operator, ast.Add) else ""


def uses_of_function(
    dotted: str, paths: Sequence[str], keywords: Mapping[str, str], mode: str
) -> Iterator[tuple[str, bool]]:
    """The files that calling a function of a library uses: the path, and whether it is written.

    >>> list(uses_of_function("open", ["a.txt", "w"], {}, "w"))
    [('a.txt', True)]
    """
    found = [*_uses_told_by_tables(dotted, paths, keywords, mode)]
    last = dotted.rpartition(".")[2]
    is_textual = last == dotted or last in _TEXTUAL_METHODS or dotted.startswith(_TEXTUAL_MODULES)
    yield from found if found or is_textual else _uses_told_by_text(dotted, (*paths, *keywords.values()), mode)


def _uses_told_by_tables(
    dotted: str, paths: Sequence[str], keywords: Mapping[str, str], mode: str
) -> Iterator[tuple[str, bool]]:
    if dotted in _OPENERS:
        yield _argument(0, ("file", "name", "filename", "store"), paths, keywords), bool(set(mode) & set("wax+"))
        return
    if dotted in _WRITERS:
        position, keyword = _WRITERS[dotted]
        yield _argument(position, (keyword,), paths, keywords), True
    if dotted in _MOVING:
        yield _argument(0, ("src",), paths, keywords), True
    if dotted in _READERS:
        position, keyword = _READERS[dotted]
        yield _argument(position, (keyword,), paths, keywords), False
    if dotted in _LISTING:
        yield _argument(0, ("pathname",), paths, keywords), False
    if dotted in _FOLDERS_READ:
        position, keyword = _FOLDERS_READ[dotted]
        yield joined(_argument(position, (keyword,), paths, keywords) or ".", "*", ast.Div()), False
    if dotted == "shutil.make_archive":
        # It adds what the format is called.
        yield joined(_argument(0, ("base_name",), paths, keywords), "*", ast.Add()), True
    if dotted in _LISTING_FOLDERS:
        yield joined(_argument(0, ("path", "top"), paths, keywords) or ".", "*", ast.Div()), False
    root, _, last = dotted.rpartition(".")
    if root in {"pandas", "polars"} and last.startswith(("read_", "scan_")):
        yield _argument(0, ("filepath_or_buffer", "path", "io", "source", "path_or_buf"), paths, keywords), False


def written_by_handle(dotted: str, paths: Sequence[str], keywords: Mapping[str, str], mode: str) -> str:
    """The path of the file that is open for writing in what a call gives; empty if none is.

    >>> written_by_handle("open", ["a.txt", "w"], {}, "w"), written_by_handle("open", ["a.txt"], {}, "")
    ('a.txt', '')
    """
    if dotted not in _OPENERS:
        return ""
    return next((path for path, is_write in _uses_told_by_tables(dotted, paths, keywords, mode) if is_write), "")


def is_handle(kind: str) -> bool:
    """Whether values of this kind are open files, whose path is kept where they are open for writing."""
    return kind == "file" or kind in _OPENERS


def is_archive(kind: str) -> bool:
    """Whether values of this kind are archives of files."""
    return kind in _ARCHIVES


def extracted_by(method: str, paths: Sequence[str], keywords: Mapping[str, str]) -> Iterator[str]:
    """Where a method of an archive puts what is in it.

    >>> list(extracted_by("extractall", ["raw"], {})), list(extracted_by("extractall", [], {}))
    (['raw'], ['*'])
    """
    if method in ("extract", "extractall"):
        yield _argument(("extractall", "extract").index(method), ("path",), paths, keywords) or "*"


def uses_of_method(
    name: str, owner: str, paths: Sequence[str], keywords: Mapping[str, str], mode: str
) -> Iterator[tuple[str, bool]]:
    """The files that calling a method uses; `owner` is the path of the object it is called on."""
    if listed(name, owner, paths):
        yield listed(name, owner, paths), False
    if name in _WRITING_METHODS:
        yield _argument(0, _PATH_KEYWORDS, paths, keywords), True
    elif name in _WRITING_PATH_METHODS:
        yield owner, True
        if name == "rename":
            yield _argument(0, ("target",), paths, keywords), True
    elif name in _READING_PATH_METHODS:
        yield owner, False
    elif name == "open" and owner:
        yield owner, bool(set(mode) & set("wax+"))
    elif name not in _TEXTUAL_METHODS:
        yield from _uses_told_by_text(name, (*paths, *keywords.values()), mode)


def is_file(text: str) -> bool:
    """Whether a text ends as the name of a file does.

    >>> is_file("out/{name}.parquet"), is_file("sqlite:///shop.db"), is_file("income.total"), is_file("Saved to a.csv")
    (True, True, False, False)
    """
    stem, _, suffix = text.rpartition(".")
    return bool(stem) and suffix.lower() in _SUFFIXES and not any(map(str.isspace, text))


def _uses_told_by_text(dotted: str, texts: Sequence[str], mode: str) -> Iterator[tuple[str, bool]]:
    """The files that a call uses of which no more is known than its name and the texts that it is given."""
    is_reading = dotted.rpartition(".")[2].startswith(_READING_VERBS) and not set(mode) & set("wax+")
    for text in filter(is_file, texts):
        yield from _uses_in_doubt(text, may_change=not is_reading)


def uses_in_sql(text: str, *, may_change: bool) -> Iterator[tuple[str, bool]]:
    """The files that a statement of SQL names, as duckdb has it.

    >>> list(uses_in_sql("select * from 'a.parquet'", may_change=False))
    [('a.parquet', False)]
    """
    for quoted in filter(is_file, _QUOTED.findall(text)):
        yield from _uses_in_doubt(quoted, may_change=may_change)


def _uses_in_doubt(path: str, *, may_change: bool) -> Iterator[tuple[str, bool]]:
    yield path, False
    if may_change:
        yield path, True


def states_of(path: str, *, is_write: bool) -> Iterator[tuple[str, bool]]:
    """The hidden states that using a file uses, with whether it is a write: the file, and the folders it lies in."""
    path = _ADDRESS.sub("", path)
    if not path or "://" in path or path.startswith(":memory"):
        return
    path = posixpath.normpath(path)
    yield PREFIX + path, is_write
    folder = posixpath.dirname(path)
    while folder and folder != "/":
        yield PREFIX + folder, False
        folder = posixpath.dirname(folder)


def is_pattern(path: str) -> bool:
    """Whether this is the path of any of several files: some of its text is not known."""
    return _UNKNOWN.search(path) is not None


def may_be_same(one: str, other: str) -> bool:
    """Whether two states, of which one is a pattern, may be the same file; a wholly unknown path is taken as another.

    >>> may_be_same("out/{name}.csv", "out/a.csv"), may_be_same("out/*.csv", "data/a.csv"), may_be_same("{x}", "a")
    (True, False, False)
    """
    if PREFIX + ANY in (one, other):
        return True
    for listed_path, path in ((one, other), (other, one)):
        if not listed_path.removeprefix(PREFIX).strip("*/."):
            # What lies in the working directory.
            return not path.removeprefix(PREFIX).startswith("/")
    (head, tail), (other_head, other_tail) = _known_ends(one), _known_ends(other)
    if not is_pattern(one):
        return is_pattern(other) and may_be_same(other, one)
    if not (head or tail):
        return False
    if not is_pattern(other):
        path = other.removeprefix(PREFIX)
        return len(path) > len(head + tail) and path.startswith(head) and path.endswith(tail)
    if not (other_head or other_tail):
        return False
    heads_agree = head.startswith(other_head) or other_head.startswith(head)
    return heads_agree and (tail.endswith(other_tail) or other_tail.endswith(tail))


def _known_ends(path: str) -> tuple[str, str]:
    parts = _UNKNOWN.split(path.removeprefix(PREFIX))
    return parts[0], parts[-1]


def path_of_elements(path: str) -> str:
    """The path of each of the files that a pattern stands for; empty for a path that is no pattern of a listing."""
    return path if "*" in path else ""


def listed(name: str, owner: str, paths: Sequence[str]) -> str:
    """The pattern of the paths that a method of a folder lists; empty if it lists none.

    >>> listed("glob", "out", ["*.csv"])
    'out/*.csv'
    """
    if not owner or name not in ("glob", "rglob", "iterdir"):
        return ""
    pattern = paths[0] if paths and name != "iterdir" else "*"
    return posixpath.join(owner, "*" if name == "rglob" else "", pattern) if pattern else ""


def substituted(state: str, paths: Mapping[str, str]) -> str:
    """A state of a file with the paths of arguments in place of parameters; empty if one of them is not known."""
    if "{@" not in state:
        return state
    if any(not paths.get(parameter) for parameter in _PARAMETER.findall(state)):
        return ""
    path = _PARAMETER.sub(lambda found: paths[found.group(1)], state.removeprefix(PREFIX))
    return PREFIX + posixpath.normpath(path)


def _argument(position: int, keywords: Sequence[str], paths: Sequence[str], given: Mapping[str, str]) -> str:
    if position < len(paths):
        return paths[position]
    return next((given[keyword] for keyword in keywords if keyword in given), "")
