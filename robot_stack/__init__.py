"""The ground of robot-stack: types, time, geometry, control, simulation and the store. Imports no torch."""
