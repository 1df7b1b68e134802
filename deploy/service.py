"""The service: one session of workers around one robot, its page, and the person or policy who flies.

`collect`, `deploy` and `replay` are this one service with other configurations; only who proposes differs: nobody, a
policy, a stored episode. Keys that it reads (YAML lists all of them; null where nothing is meant):

    robot:                    # configs/robot/<cell>.yaml: one cell, constructor arguments of its drivers
      name: ur5e              # robot_stack.robots: kinematics, home, joint limits
      arm: {_target_: …}      # robot_stack.arms.*
      gripper: {_target_: …}  # robot_stack.grippers.*
      cameras:                # robot_stack.cameras.*, each with at least height and width [px]
        front: {_target_: …, height: 240, width: 320}
      world: {_target_: …}    # simulation only, else null: a class with run(stop); has its own process
      limits: {_target_: robot_stack.safety.Limits, …}
    teleop: {_target_: …}     # configs/teleop/<device>.yaml: teleop.*; null: nobody can take over
    task: lift                # of the simulation, or a word of yours; stored with each episode
    rate: 10                  # rows a second [Hz]
    store: data/lift          # where episodes are recorded; null: nothing is recorded (replay only)
    episodes: 20              # end after so many recorded episodes; 0: until Ctrl-C or the page's end
    auto: true                # true: episodes start and end by themselves; false: by the page or the keys
    time_limit: 20            # longest episode [s]
    success_hold: 0.5         # auto: the task's own success must last this long [s]
    seed: 0                   # start state of episode k in simulation is seed + k
    operator: scripted        # name of the person, stored with each episode
    host: 127.0.0.1           # address and port of the page; port 0 takes a free one
    port: 8000
    checkpoint: runs/bc/best  # deploy: the policy that flies
    execute: 8                # deploy: rows between two plans [rows]; null: the policy's own
    source: data/lift         # replay: store and id of the episode to fly
    episode: null             # replay: null is the newest

A driver whose constructor has a parameter `bus`, `station`, `robot` or `task` gets this session's one and need not
name it in YAML.
"""
