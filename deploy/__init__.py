"""The service: everything that runs while a robot moves."""
