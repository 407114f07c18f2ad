"""What architectures cost as sequences grow: archs-bench, and the peak memory of any process.

command     archs-bench                              (conf/bench.yaml)
variants    what is compared: architectures, variants of them, options of their parts
points      (architecture, length, mode), one by one, and what decides each result
sweep       every point once: resumed, limited, repeated where the machine drifted
measure     a point by two fresh processes, started through `launcher`
child       one of them: memory, or times        (subject, timing, memory, heap, device)
records     points as files; table: points on a terminal
"""
