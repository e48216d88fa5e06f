# make serve   install into .venv and serve an instance on an archive in ./data
# make test    all set-up and every test, through tox
# make bench   measure this archive beside SQLite, RocksDB and raw LMDB; ARGS="--quick" for a short run
# make clean   remove what the two have made, but not ./data
# They need only make and python3 (3.11 or newer, with venv): PYTHON=python3.12 make … names another one.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8090
DATA ?= data
INSTANCE ?= simulator

.PHONY: serve test bench clean

serve: .venv/serve.installed
	exec .venv/bin/yamcs-archive serve --data "$(DATA)" --instance "$(INSTANCE)" --host "$(HOST)" --port "$(PORT)"

test: .venv/tox.installed
	.venv/bin/tox run

bench: .venv/bench.installed
	.venv/bin/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv .tox build *.egg-info

# A venv without pip (what Debian leaves when python3-venv is not installed) does not count as made.
.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "python 3.11 or newer is needed, $(PYTHON) is not: name another one with PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# Editable, so that the tree is what runs; again only when the metadata changed.
.venv/serve.installed: .venv/bin/pip setup.cfg pyproject.toml
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[server]"
	touch $@

.venv/tox.installed: .venv/bin/pip
	.venv/bin/python -m pip install --quiet --disable-pip-version-check "tox>=4.20"
	touch $@

.venv/bench.installed: .venv/serve.installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[server,bench,test]"
	touch $@
