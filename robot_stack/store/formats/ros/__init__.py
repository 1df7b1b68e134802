"""Bags of ROS 2, in: MCAP files and rosbag2 folders, by a mapping file that says which topic is which field."""
