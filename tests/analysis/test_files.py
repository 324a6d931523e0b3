"""Steps that share a file are in the order of the document, as far as its path can be told."""

from __future__ import annotations

import pytest

from szal_nb.model.graph import EdgeKind
from tests.analysis.cells import notebook_graph

IMPORTS = """# %%
import json, os, shutil, subprocess, sys, tarfile, zipfile
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
import netCDF4, zarr
from astropy.io import fits
hdul = fits.HDUList()
import lightgbm as lgb, optuna
import pyarrow as pa, pyarrow.dataset as ds, pyarrow.parquet as pq
import statsmodels.api as sm, xarray as xr
from loguru import logger
air = bst = con = t = 1
from pathlib import Path
RAW = "raw.csv"
def save(frame, name):
    frame.to_csv(f"out/{name}.csv")
def load(name):
    return pd.read_csv(Path("out") / f"{name}.csv")
"""

SAME = {
    "open": ("with open('a.txt', 'w') as f:\n    f.write('x')", "text = open('a.txt').read()"),
    "open for adding": ("with open('a.txt', mode='a') as f:\n    f.write('x')", "text = Path('a.txt').read_text()"),
    "pandas": ("pd.DataFrame().to_csv('a.csv', index=False)", "df = pd.read_csv('a.csv')"),
    "a keyword": ("pd.DataFrame().to_json(path_or_buf='a.json')", "df = pd.read_json('./a.json')"),
    "numpy": ("np.save('a.npy', np.ones(3))", "a = np.load('a.npy')"),
    "a path": ("Path('out/a.json').write_text('{}')", "a = json.loads((Path('out') / 'a.json').read_text())"),
    "a name of the notebook": ("pd.DataFrame().to_csv(RAW)", "df = pd.read_csv(RAW)"),
    "a name in a path": ("pd.DataFrame().to_csv(f'x/{RAW}')", "df = pd.read_csv(os.path.join('x', RAW))"),
    "a name of the step": ("name = 'a.csv'\npd.DataFrame().to_csv(name)", "df = pd.read_csv('a.csv')"),
    "through functions": ("save(pd.DataFrame(), 'sales')", "df = load('sales')"),
    "written after reading": ("df = pd.read_csv('a.csv')", "pd.DataFrame().to_csv('a.csv')"),
    "written twice": ("pd.DataFrame().to_csv('a.csv')", "pd.DataFrame().to_csv('a.csv')"),
    "astropy": (
        "hdul.writeto('a.fits', overwrite=True)",
        "with fits.open('a.fits') as found:\n    data = found[0].data",
    ),
    "netCDF4": ("netCDF4.Dataset('a.nc', 'w').close()", "found = netCDF4.Dataset('a.nc')"),
    "zarr": (
        "z = zarr.create_array(store='a.zarr', shape=(2,), dtype='f4')",
        "y = zarr.open_array('a.zarr', mode='r')",
    ),
    "xarray": ("air.to_dataset().to_netcdf('a.nc')", "ds = xr.open_dataset('a.nc', chunks={'time': 1})"),
    "a class that reads": ("bst.save_model('m.txt')", "loaded = lgb.Booster(model_file='m.txt')"),
    "a file of parquet": ("pq.write_table(t, 't.parquet')", "found = pq.ParquetFile('t.parquet')"),
    "a dataset of pyarrow": ("ds.write_dataset(t, 'data', format='parquet')", "found = ds.dataset('data')"),
    "what neither is known of": (
        "with pa.OSFile('a.arrow', 'wb') as f:\n    f.write(t)",
        "m = pa.memory_map('a.arrow')",
    ),
    "what a model saves": ("bst.save('r.pkl')", "found = sm.load('r.pkl')"),
    "memory that is mapped": ("m = np.memmap('m.dat', mode='w+', shape=3)", "r = np.memmap('m.dat', mode='r')"),
    "the address of a database": (
        "study = optuna.create_study(storage='sqlite:///o.db')",
        "found = optuna.load_study(storage='sqlite:///o.db')",
    ),
    "a copy by SQL": ("con.execute(\"COPY t TO 'o.parquet'\")", "df = con.sql(\"select * from 'o.parquet'\").df()"),
    "a log": ("logger.add('app.log')", "text = open('app.log').read()"),
    "what is moved": ("open('a.tmp', 'w').write('x')", "os.replace('a.tmp', 'a.txt')"),
    "where a path is moved to": ("_ = Path('a.tmp').rename('a.txt')", "text = open('a.txt').read()"),
    "a folder": ("os.makedirs('out', exist_ok=True)", "pd.DataFrame().to_csv('out/a.csv')"),
}


@pytest.mark.parametrize(("first", "second"), SAME.values(), ids=SAME)
def test_steps_that_share_a_file_are_in_order(first, second):
    (edge,) = notebook_graph(f"{IMPORTS}# %% a\n{first}\n# %% b\n{second}\n").edges
    assert (edge.source, edge.target, edge.rule) == ("a", "b", "hidden-state")
    assert edge.names[0].startswith("file:")
    assert edge.line


OTHER = {
    "other literals": ("pd.DataFrame().to_csv('a.csv')", "df = pd.read_csv('b.csv')"),
    "both read": ("df = pd.read_csv('a.csv')", "text = open('a.csv').read()"),
    "a path that cannot be told": ("for p in Path('x').glob('*'):\n    p.write_text('')", "df = pd.read_csv('a.csv')"),
    "an address": ("a = pd.read_csv('https://x.org/a.csv')", "b = pd.read_csv('https://x.org/a.csv')"),
    "functions with other names": ("save(pd.DataFrame(), 'sales')", "df = load('costs')"),
    "text and no file": ("text = pd.DataFrame().to_csv()", "other = pd.DataFrame().to_csv()"),
    "one folder": ("pd.DataFrame().to_csv('out/a.csv')", "pd.DataFrame().to_csv('out/b.csv')"),
}


@pytest.mark.parametrize(("first", "second"), OTHER.values(), ids=OTHER)
def test_steps_with_other_files_are_not_in_order(first, second):
    assert notebook_graph(f"{IMPORTS}# %% a\n{first}\n# %% b\n{second}\n").edges == ()


IN_TEXT = {
    "both print it": ("print('a.csv')", "print('a.csv')"),
    "a text that is looked into": ("x = RAW.endswith('a.csv')", "y = RAW.replace('a.csv', '')"),
    "names of columns": ("x = air.groupby('income.total').sum()", "y = air.groupby('income.total').mean()"),
    "both only read it": ("x = xr.open_dataset('a.nc')", "y = xr.open_dataset('a.nc')"),
    "a message": ("logger.info('a.csv')", "logger.info('a.csv')"),
}


@pytest.mark.parametrize(("first", "second"), IN_TEXT.values(), ids=IN_TEXT)
def test_texts_that_are_no_files_or_are_only_read_order_nothing(first, second):
    assert notebook_graph(f"{IMPORTS}# %% a\n{first}\n# %% b\n{second}\n").edges == ()


HANDLES = {
    "closed later": ("f = open('a.txt', 'w')\nf.write('1')", "f.close()", "text = open('a.txt').read()"),
    "written to later": ("f = open('a.txt', 'a')", "f.write('2')\nf.close()", "text = Path('a.txt').read_text()"),
    "printed to": ("f = open('a.txt', 'w')", "print('x', file=f, flush=True)", "text = open('a.txt').read()"),
    "dumped to": ("f = open('a.json', 'w')", "json.dump({}, f)\nf.flush()", "found = pd.read_json('a.json')"),
    "an archive": (
        "f = zipfile.ZipFile('a.zip', 'w')",
        "f.writestr('x', '1')\nf.close()",
        "n = os.path.getsize('a.zip')",
    ),
    "a file of netCDF4": ("f = netCDF4.Dataset('a.nc', 'w')", "f.close()", "d = xr.open_dataset('a.nc')"),
}


@pytest.mark.parametrize(("first", "second", "third"), HANDLES.values(), ids=HANDLES)
def test_who_reads_a_file_waits_for_who_writes_to_it_or_closes_it_by_a_handle(first, second, third):
    """What had been written was not in the file yet."""
    cells = f"{IMPORTS}import zipfile\n# %% a\n{first}\n# %% b\n{second}\n# %% c\n{third}\n"
    assert ("b", "c") in {(edge.source, edge.target) for edge in notebook_graph(cells).edges}


def test_handles_that_only_read_need_no_order():
    cells = f"{IMPORTS}# %% a\nf = open('a.txt')\n# %% b\nx = f.read()\n# %% c\ny = open('a.txt').read()\n"
    assert ("b", "c") not in {(edge.source, edge.target) for edge in notebook_graph(cells).edges}


def test_who_may_read_a_file_or_write_it_needs_its_writer():
    """Else a fork from the writer would leave it as it was."""
    cells = f"{IMPORTS}# %% a\nbst.save_model('m.txt')\n# %% b\nloaded = lgb.Booster(model_file='m.txt')\n"
    assert [edge.is_blocking for edge in notebook_graph(cells).edges] == [True]


def test_who_reads_a_file_needs_its_writer_and_who_writes_it_after_a_reader_does_not():
    write, read = "# %% w{}\nopen('f', 'w').write('1')\n", "# %% r\nx = open('f').read()\n"
    graph = notebook_graph(write.format(1) + read + write.format(2))
    blocking = {(edge.source, edge.target): edge.is_blocking for edge in graph.edges}
    assert blocking == {("w1", "r"): True, ("r", "w2"): False}


IN_DOUBT = {
    "written in a loop": ("for n in names:\n    pd.DataFrame().to_csv(f'out/{n}.csv')", "df = pd.read_csv('out/a.csv')"),
    "read in a loop": ("pd.DataFrame().to_csv('out/a.csv')", "for n in names:\n    df = pd.read_csv(f'out/{n}.csv')"),
    "loops with other variables": (
        "for n in names:\n    pd.DataFrame().to_csv(f'out/{n}.csv')", "for m in names:\n    df = pd.read_csv(f'out/{m}.csv')"
    ),
    "glob": ("pd.DataFrame().to_csv('out/a.csv')", "dfs = [pd.read_csv(p) for p in glob.glob('out/*.csv')]"),
    "a sorted glob of a path": (
        "pd.DataFrame().to_csv('out/a.csv')", "for p in sorted(Path('out').glob('*.csv')):\n    df = pd.read_csv(p)"
    ),
    "a folder that is listed": (
        "pd.DataFrame().to_csv('out/a.csv')", "for p in os.listdir('out'):\n    df = pd.read_csv(os.path.join('out', p))"
    ),
    "a count of files": ("pd.DataFrame().to_csv('out/a.csv')", "n = len(glob.glob('out/*.csv'))"),
    "read before it is written": ("dfs = [pd.read_csv(p) for p in glob.glob('out/*.csv')]", "pd.DataFrame().to_csv('out/a.csv')"),
    "files that are removed": ("for p in Path('out').iterdir():\n    p.unlink()", "df = pd.read_csv('out/a.csv')"),
}  # fmt: skip


@pytest.mark.parametrize(("first", "second"), IN_DOUBT.values(), ids=IN_DOUBT)
def test_steps_that_may_share_a_file_keep_the_order_of_the_document(first, second):
    cells = f"# %%\nimport glob\nnames = ['a']\n{IMPORTS}# %% a\n{first}\n# %% b\n{second}\n"
    (edge,) = notebook_graph(cells).edges
    assert (edge.source, edge.target, edge.kind, edge.rule) == ("a", "b", EdgeKind.DOUBT, "hidden-state")
    assert "may be out/" in edge.reason
    assert notebook_graph(cells.replace("# %% b", f"# %% b {edge.remedy}")).edges == ()


APART = {
    "another folder": (
        "pd.DataFrame().to_csv('plots/a.csv')",
        "dfs = [pd.read_csv(p) for p in glob.glob('out/*.csv')]",
    ),
    "another ending": ("for n in names:\n    plt.savefig(f'out/{n}.png')", "df = pd.read_csv('out/a.csv')"),
    "the folder itself": ("os.makedirs('out', exist_ok=True)", "print('out/*.csv')"),
    "both are read": ("n = len(glob.glob('out/*.csv'))", "df = pd.read_csv('out/a.csv')"),
}


@pytest.mark.parametrize(("first", "second"), APART.values(), ids=APART)
def test_patterns_that_fit_no_file_of_the_other_order_nothing(first, second):
    cells = f"# %%\nimport glob\nnames = ['a']\n{IMPORTS}# %% a\n{first}\n# %% b\n{second}\n"
    assert notebook_graph(cells).edges == ()


PROGRAMS = {
    "one that is told by words": "subprocess.run(['python', 'make.py'], check=True)",
    "one that is told by a name": "subprocess.run([sys.executable, '-c', code])",
    "a text for a shell": "subprocess.check_output('sort a.csv > b.csv', shell=True)",
    "a text that is not told": "os.system(command)",
    "a line of a shell": "get_ipython().system('python make.py {name}')",
    "what a line of a shell printed": "found = get_ipython().getoutput('git pull')",
    "a cell of a shell": "get_ipython().run_cell_magic('bash', '', 'cp a.csv b.csv')",
    "a command that is a magic": "get_ipython().run_line_magic('cp', 'a.csv b.csv')",
    "a program that was begun before": "process.wait()",
}
BEGUN = "# %%\ncode = command = name = 'x'\n# %% begin\nprocess = subprocess.Popen(['python', 'make.py'])\n"


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_is_in_order_with_all_who_use_files(program):
    """It found what a step below had written, or nothing where one above it writes."""
    write, read = "pd.DataFrame().to_csv('a.csv')", "df = pd.read_csv('b.csv')"
    graph = notebook_graph(f"{IMPORTS}{BEGUN}# %% a\n{write}\n# %% b\n{program}\n# %% c\n{read}\n# %% d\nx = 1\n")
    assert {("a", "b"), ("b", "c")} <= {(edge.source, edge.target) for edge in graph.edges}
    assert not [edge for edge in graph.edges if edge.target == "d"]


ONLY_READING = ["subprocess.run(['wc', '-l', 'a.csv'])", "get_ipython().system('ls -l | head -3 2>/dev/null')"]


@pytest.mark.parametrize("program", ONLY_READING)
def test_programs_that_only_read_wait_for_who_writes_and_for_nobody_else(program):
    write, read = "pd.DataFrame().to_csv('a.csv')", "df = pd.read_csv('a.csv')"
    graph = notebook_graph(f"{IMPORTS}# %% a\n{write}\n# %% b\n{program}\n# %% c\n{program}\n# %% d\n{read}\n")
    assert {(edge.source, edge.target) for edge in graph.edges} == {("a", "b"), ("a", "c"), ("a", "d")}


@pytest.mark.parametrize(("flags", "waits"), [("", True), (" --pure file:**", False)])
def test_of_a_program_that_uses_none_of_the_files_a_flag_says_so(flags, waits):
    write, run, read = "pd.DataFrame().to_csv('a.csv')", "subprocess.run(['ffmpeg', 'x'])", "pd.read_csv('a.csv')"
    edges = notebook_graph(f"{IMPORTS}# %% a\n{write}\n# %% b{flags}\n{run}\n# %% c\n{read}\n").edges

    assert [(edge.source, edge.target) for edge in edges if "b" not in (edge.source, edge.target)] == [("a", "c")]
    assert [edge.remedy.startswith("--pure file:") for edge in edges if "b" in (edge.source, edge.target)] == [
        True
    ] * 2 * waits


def test_a_program_that_uses_no_files_needs_no_order():
    cells = "# %% a\npd.DataFrame().to_csv('a.csv')\n# %% b\nsubprocess.run(['date'])\n# %% c\nget_ipython().system('echo x')\n"
    assert notebook_graph(f"{IMPORTS}{cells}").edges == ()


@pytest.mark.parametrize(
    "program", ["get_ipython().system('pip install x')", "get_ipython().run_line_magic('pip', 'x')"]
)
def test_what_is_installed_is_there_for_all_below(program):
    graph = notebook_graph(f"{IMPORTS}# %% a\n{program}\n# %% b\nimport x\ny = x.f()\n")
    assert [(edge.source, edge.target) for edge in graph.edges] == [("a", "b")]


IN_FOLDERS = {
    "what is here": ("pd.DataFrame().to_csv('a.csv')", "names = os.listdir()"),
    "what is here, by a path": ("pd.DataFrame().to_csv('a.csv')", "names = list(Path.cwd().iterdir())"),
    "all below a folder": ("pd.DataFrame().to_csv('out/x/a.csv')", "found = list(os.walk('out'))"),
    "a copy of a folder": ("pd.DataFrame().to_csv('out/a.csv')", "shutil.copytree('out', 'copy')"),
    "from a copy of a folder": ("shutil.copytree('out', 'copy')", "df = pd.read_csv('copy/a.csv')"),
    "an archive of a folder": ("pd.DataFrame().to_csv('out/a.csv')", "shutil.make_archive('all', 'zip', 'out')"),
    "an archive that was made": ("shutil.make_archive('all', 'zip', 'out')", "z = zipfile.ZipFile('all.zip')"),
    "what was in an archive": ("zipfile.ZipFile('all.zip').extractall('raw')", "df = pd.read_csv('raw/a.csv')"),
    "what was in an archive, here": (
        "with tarfile.open('all.tar') as t:\n    t.extractall()", "df = pd.read_csv('raw/a.csv')",
    ),
    "a file by a magic": ("get_ipython().run_cell_magic('writefile', 'a.yaml', 'x: 1')", "text = open('a.yaml').read()"),
}  # fmt: skip


@pytest.mark.parametrize(("first", "second"), IN_FOLDERS.values(), ids=IN_FOLDERS)
def test_who_looks_into_a_folder_is_in_order_with_who_writes_there(first, second):
    edges = notebook_graph(f"{IMPORTS}# %% a\n{first}\n# %% b\n{second}\n").edges
    assert [(edge.source, edge.target) for edge in edges] == [("a", "b")]
