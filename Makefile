# Each of these does all the set-up by itself, on a fresh machine with Python and no uv.
.PHONY: demo test check setup lock
.DEFAULT_GOAL := demo

BIN := .venv/bin

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
	$(BIN)/pytest -q tests/robot_stack/test_safety.py --cov=robot_stack.safety --cov-branch --cov-fail-under=100

setup:
	@scripts/setup.sh

lock:  # after a change of the dependencies in pyproject.toml
	@scripts/setup.sh lock
