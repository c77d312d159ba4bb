# make book · make test: both set up what they need; see README.md
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
HTML := _build/html
# The stored outputs were made under Python 3.11; another one has other versions, which round
# otherwise, so there the notebooks must run through but may print something else.
NBVAL = $(shell $(PY) -c 'import sys; \
  print("--nbval" if sys.version.startswith("3.11.") else "--nbval-lax")')
# Two workers with one thread each beat one worker with two, and two with two are slower by far.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile
export PYTHONPATH := book/_ext

.PHONY: help book serve test check execute new-chapter bench sweep mutants matrix \
        threads repeat licences gpu clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 14

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "This book needs Python >= 3.10; $(PYTHON) is $$($(PYTHON) --version). Try: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python could not make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@$(PY) -m pip install --quiet --upgrade pip

# The stamps keep a second `make` from installing anything again.
$(VENV)/.book: $(PY) pyproject.toml constraints.txt
	$(PY) -m pip install --quiet -c constraints.txt -e '.[book]'
	@touch $@

$(VENV)/.test: $(PY) pyproject.toml constraints.txt
	$(PY) -m pip install --quiet -c constraints.txt -e '.[test]'
	@touch $(VENV)/.book $@

$(VENV)/.bench: $(VENV)/.test
	$(PY) -m pip install --quiet -c constraints.txt -e '.[bench]'
	@touch $@

# --all: a page written earlier would keep links to references that have moved since.
book: $(VENV)/.book  ## build the pages from the chapters and their stored outputs
	$(VENV)/bin/jupyter-book build . --all -W -n --keep-going --quiet
	@echo "The book is at $(CURDIR)/$(HTML)/index.html (make serve shows it on http://localhost:8000)"

serve: book  ## show the book on http://localhost:8000
	$(PY) -m http.server --bind 127.0.0.1 --directory $(HTML) 8000

test: $(VENV)/.test book  ## everything: unit tests, notebooks, claims, links, pages in a browser
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m derive_book check
	DERIVE_PROFILE=cpu $(PYTEST) $(NBVAL) --cov=derive --cov-report=term --cov-fail-under=95 tests book

check: $(VENV)/.test  ## the fast one: lint, pairs and claims, unit tests of the library
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m derive_book check
	$(PYTEST) -m 'not slow and not browser' tests/lib

execute: $(VENV)/.test  ## run chapters and store their outputs: make execute C=jl-lemma, or all
	DERIVE_PROFILE=cpu OMP_NUM_THREADS=1 $(PY) -m derive_book execute $(C)

new-chapter: $(VENV)/.book  ## make new-chapter PART=foundations SLUG=my-chapter TITLE="My chapter"
	$(PY) -m derive_book new "$(PART)" "$(SLUG)" "$(TITLE)"

bench: $(VENV)/.bench  ## time the library against its peers: make bench S=random_projection, or all
	$(PY) -m bench $(S)

N ?= 20
sweep: $(VENV)/.test  ## execute under N other seeds, store how the checks fared: make sweep N=20 C=jl-lemma
	DERIVE_PROFILE=cpu OMP_NUM_THREADS=1 $(PY) -m derive_book sweep --seeds $(N) $(C)

mutants: $(VENV)/.test  ## make mistakes in the library, store which are seen: make mutants S=transport
	OMP_NUM_THREADS=1 $(PY) -m mutation library $(S)

matrix: $(VENV)/.test  ## tests and notebooks under other Pythons and versions: make matrix E=lowest
	$(PY) -m matrix $(E)

threads: $(VENV)/.test  ## notebooks with two threads must show the stored outputs too
	DERIVE_PROFILE=cpu OMP_NUM_THREADS=2 $(PY) -m pytest --nbval book

repeat: $(VENV)/.test  ## execute chapters twice, the bytes must be the same: make repeat C=jl-lemma
	DERIVE_PROFILE=cpu OMP_NUM_THREADS=1 $(PY) -m derive_book repeat $(C)

licences: $(VENV)/.bench  ## write docs/licences.md
	$(PY) -m derive_book licences

gpu: $(VENV)/.test  ## run chapters at their GPU sizes, outputs in _build/gpu
	DERIVE_PROFILE=gpu $(PY) -m derive_book execute --out _build/gpu $(C)

clean:  ## remove what was built; the environment stays
	rm -rf _build .matrix .pytest_cache .ruff_cache .hypothesis .coverage
