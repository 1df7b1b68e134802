"""A UR controller at the wire: RTDE, dashboard and script ports, the control script of ur_rtde, and the arm behind it.

Sources: UR's RTDE guide and dashboard manual; what ur_rtde 1.6.5 sends and expects; where neither says how the real
controller behaves, the code says "modelled". Written anew from protocol notes.
"""
