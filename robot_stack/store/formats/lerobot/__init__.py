"""LeRobotDataset v3.0 and v2.1, in (`source`) and out (`export`), by its files alone: nothing here imports lerobot."""
