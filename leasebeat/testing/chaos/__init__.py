"""The chaos ring: real `worker.py` processes on real servers, ill-treated by a seed, judged by their tasks.

A seed draws who suffers what and when; how processes meet is the machine's doing, so the same seed
brings the same faults and not the same history. Workers share a machine and its loopback; what lies
between a worker and the servers are proxies of its own (`links`), not network namespaces.

    links     the network between one worker and one server: cut, one-way, slow
    ground    the servers, the workers behind their links, and the load
    nemesis   the faults, dealt evenly, each with its end
    people    edits and manual runs, by SQL
    checks    what must hold of the history, by invariant
    report    figures, targets, verdict
    plot      who ran what when, and what was done to whom, as SVG
    ring      one seed from start to verdict
"""
