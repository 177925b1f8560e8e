"""The store chaos ring: shipped nodes as threads of one process, on a real MariaDB that is ill-treated.

The simulation drives the same nodes through a store that it made up; here the server is real, and so
are its locks, its deadlocks and its lost connections. The checkers are the simulation's, over what the
server itself wrote down (`journal`) and what the tasks saw. A seed draws the plan, not the interleaving:
the same seed ill-treats the fleet in the same way, and the threads meet as they do.

    machines   one worker each: a Node, its threads, its connections, its guardian; crash, pause, restart
    session    the door to the store: where a stopped worker stops, a dead one ends, and errors are counted
    proxy      the network between a worker and the store: replies lost, requests late, links cut
    people     edits, transactions left open, runs put in by hand, kill requests
    faults     what is done to workers, connections and servers
    ring       one seed from start to verdict
"""
