# Each of these does all the set-up by itself, on a fresh machine with Python and no uv.
.PHONY: demo test check setup lock
.DEFAULT_GOAL := demo

BIN := .venv/bin
FILTER := safety limits watch collision
SAFETY := safety safety_limits safety_watch collision

demo: setup
	$(BIN)/robot-stack demo $(ARGS)

test:
	@scripts/setup.sh tests
	$(BIN)/pytest $(ARGS)

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_architecture.py
	$(BIN)/pytest -q $(SAFETY:%=tests/robot_stack/test_%.py) $(FILTER:%=--cov=robot_stack.%) --cov-branch --cov-fail-under=100

setup:
	@scripts/setup.sh

lock:  # after a change of the dependencies in pyproject.toml
	@scripts/setup.sh lock
