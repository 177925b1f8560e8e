"""What can go wrong, row by row, and what Leasebeat then does. `catalogue` says what shows it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FAULTS", "Fault"]


class Fault(NamedTuple):
    """A row of docs/faults.md. `untested` is why no test shows it; docs/guarantee.md repeats it."""

    number: int
    group: str
    fault: str
    answer: str
    untested: str = ""


_PROCESS = "A worker dies or stands still"
_REDIS = "Redis"
_MYSQL = "MySQL and MariaDB"
_ZOOKEEPER = "ZooKeeper"
_CLOCKS = "Clocks and calendars"
_NODES = "Who is who"
_TASKS = "Tasks and their host"
_TABLE = "The table, edited by hand"

FAULTS: tuple[Fault, ...] = (
    Fault(
        1,
        _PROCESS,
        "Killed when a fire is due, before the gate was asked",
        "The next rank opens the fire 0.2 s later.",
    ),
    Fault(
        2,
        _PROCESS,
        "Killed between the gate's yes and the INSERT",
        "The auditor finds the instant without a row and opens it, whatever the gate's key says.",
    ),
    Fault(
        3,
        _PROCESS,
        "The INSERT is committed, its answer is lost",
        "The node reads back what is its own before it does anything; if it is dead, the row is taken back.",
    ),
    Fault(
        4,
        _PROCESS,
        "Killed after the claim, before the task's process exists",
        "The row of the dead node is taken back after the purge and runs as the next attempt.",
    ),
    Fault(
        5,
        _PROCESS,
        "Killed between the task's start and any word of it",
        "It counts as begun: `rerun` runs it again, `fail` and `finish` close it as `lost`.",
    ),
    Fault(
        6,
        _PROCESS,
        "Killed while a task runs",
        "The guardian kills the task with all that it started; the run goes by `on_node_loss`.",
    ),
    Fault(
        7,
        _PROCESS,
        "Killed after a task's end, before its outcome is in the store",
        "What the journal has is recorded by the next worker within the lease; else it is taken back.",
    ),
    Fault(
        8,
        _PROCESS,
        "Killed while outcomes are on their way to the store",
        "A batch is recorded whole or not at all; sent again, from the journal too, it meets its own rows.",
    ),
    Fault(
        9,
        _PROCESS,
        "Stopped for less than the lease, then continued",
        "Tasks go on and their outcomes count; fires that came due meanwhile were opened by others.",
    ),
    Fault(
        10,
        _PROCESS,
        "Stopped for longer than the lease, then continued",
        "Its tasks were killed at the deadline; its late words are refused, and it joins under a new id.",
    ),
    Fault(
        11,
        _PROCESS,
        "A task is stopped, not its worker",
        "The lease does not care; the task's time-out ends it, stopped or not.",
    ),
    Fault(
        12,
        _PROCESS,
        "A whole machine is paused past the lease and wakes up",
        "For a moment two attempts may run. The guardian kills the old one; the fence refuses its writes.",
    ),
    Fault(
        13,
        _PROCESS,
        "The worker's threads get no CPU",
        "Beats have a thread of their own; if they come too late the guardian stops the work in time.",
    ),
    Fault(
        14,
        _PROCESS,
        "SIGTERM while tasks run",
        "It takes nothing new and beats until the last task has ended, at most `drain_s`.",
    ),
    Fault(
        15,
        _PROCESS,
        "A second SIGTERM during the drain",
        "What runs is killed at once and handed back by `on_node_loss`.",
    ),
    Fault(16, _PROCESS, "The kernel kills the worker for its memory", "As any other death by SIGKILL."),
    Fault(
        17,
        _PROCESS,
        "Dies after joining, before its first beat",
        "The INSERT that joins is the first beat: the node is purged like any other.",
    ),
    Fault(
        18,
        _REDIS,
        "Everything in Redis is deleted while fires come due",
        "Two nodes may pass the gate; the store lets one insert the row.",
    ),
    Fault(
        19, _REDIS, "Redis is killed and comes back empty", "As 18; while it is away the store alone decides."
    ),
    Fault(20, _REDIS, "A replica without the keys is promoted", "As 18."),
    Fault(
        21,
        _REDIS,
        "One node cannot reach Redis",
        "It goes on through the store, says so, and misses nothing.",
    ),
    Fault(
        22,
        _REDIS,
        "Redis is frozen or slow",
        "One time-out, then the gate is left out until a trial succeeds.",
    ),
    Fault(
        23,
        _REDIS,
        "The answer to SET NX is lost",
        "An error is no answer: the store is asked. Asking the gate again says yes to the same node.",
    ),
    Fault(
        24, _REDIS, "Redis has no memory left and refuses writes", "The gate is left out until it has room."
    ),
    Fault(25, _REDIS, "Redis evicts keys of the gate", "Harmless as 18; `doctor` tells of the policy."),
    Fault(26, _REDIS, "The node talks to a replica", "The gate is left out until it is a primary."),
    Fault(
        27,
        _REDIS,
        "Redis is busy, loading, cannot save, or wants a password",
        "One kind of trouble: the gate is left out; a wrong password is told.",
    ),
    Fault(28, _REDIS, "Keys of the gate vanish too early", "As 18."),
    Fault(
        29,
        _REDIS,
        "No descriptor or connection is left for Redis",
        "The gate is left out; the node goes on through the store.",
    ),
    Fault(
        30,
        _MYSQL,
        "The server restarts, in good order or killed",
        "Tasks go on within the trust window; what came due meanwhile is opened afterwards.",
    ),
    Fault(
        31,
        _MYSQL,
        "An outage longer than the lease: every beat is old",
        "Nobody is purged for it: who purges must itself have watched for a whole lease.",
    ),
    Fault(32, _MYSQL, "A deadlock (1213)", "The transaction was rolled back and is made again."),
    Fault(
        33,
        _MYSQL,
        "A lock wait that is too long (1205)",
        "The transaction is rolled back by the client and made again.",
    ),
    Fault(34, _MYSQL, "A row has changed since it was read (1020)", "As a deadlock."),
    Fault(
        35,
        _MYSQL,
        "The server takes no writes (1290)",
        "As an outage: nothing is claimed, and work stops at the end of the trust window.",
    ),
    Fault(
        36,
        _MYSQL,
        "Connections are killed, within transactions too",
        "The connection is replaced, and the node asks what became of its statement.",
    ),
    Fault(
        37,
        _MYSQL,
        "The server is frozen or very slow",
        "A statement takes no longer than its time-out, and its connection is not used again.",
    ),
    Fault(
        38,
        _MYSQL,
        "Too many connections (1040)",
        "As an outage for what has no connection; the beat keeps its own.",
    ),
    Fault(
        39,
        _MYSQL,
        "The server's disk is full",
        "As an outage.",
        untested="a full disk is tried with SQLite; of MariaDB only its words for it are known, as an outage",
    ),
    Fault(
        40,
        _MYSQL,
        "A fail-over that loses committed rows",
        "A host closes as `lost` what it remembers having started; another host runs what is missing again.",
    ),
    Fault(41, _MYSQL, "The URL leads to a replica", "It is refused at the start."),
    Fault(
        42,
        _MYSQL,
        "The server's clock jumps by a minute",
        "Nobody living is purged, nothing is opened twice or early.",
    ),
    Fault(43, _MYSQL, "Threads use the store at once", "Each thread has a connection of its own."),
    Fault(
        44, _MYSQL, "A task inherits the worker's connections", "It has its three descriptors and no other."
    ),
    Fault(
        45,
        _MYSQL,
        "The server's character set is not Unicode",
        "Tables and connections say theirs: texts come back as they went, and names keep their case.",
    ),
    Fault(
        46,
        _MYSQL,
        "Numbers of rows run out",
        "Ids are BIGINT, and runs need none: their key is the instant and the schedule.",
    ),
    Fault(
        47,
        _MYSQL,
        "A login is refused (1045), for whatever reason",
        "It is told with what to look at, without any password; an account without a name is thought of.",
    ),
    Fault(
        48,
        _ZOOKEEPER,
        "The connection is lost and comes back within the session",
        "Nothing new is claimed meanwhile; tasks go on.",
    ),
    Fault(
        49,
        _ZOOKEEPER,
        "The session is lost",
        "The node's work ends at its deadline, before anybody may take it up; it joins anew.",
    ),
    Fault(50, _ZOOKEEPER, "The ensemble elects another leader", "As 48: nobody is purged."),
    Fault(
        51,
        _ZOOKEEPER,
        "A node reaches only a minority of the ensemble",
        "It stops as in 49; the others take its work up.",
    ),
    Fault(
        52,
        _ZOOKEEPER,
        "An election leaves a znode behind",
        "It goes with its session, and a node knows its own.",
    ),
    Fault(
        53,
        _ZOOKEEPER,
        "A watch is lost",
        "Watches are hints: what they tell of is read again with each beat.",
    ),
    Fault(
        54,
        _CLOCKS,
        "A host's clock is ahead",
        "The store's clock decides: a claim before its time is refused. The offset is shown.",
    ),
    Fault(55, _CLOCKS, "A host's clock is behind", "It opens its fires by the store's clock like everybody."),
    Fault(56, _CLOCKS, "A host's clock jumps", "Waits are measured on clocks that cannot be set."),
    Fault(
        57,
        _CLOCKS,
        "Clocks are turned for summer and winter",
        "As Debian's cron does: jumped over, right after; twice, once. A fire is an instant of UTC.",
    ),
    Fault(
        58,
        _CLOCKS,
        "Nodes have different rules of time zones",
        "Zones are those of the pinned package, never the host's; `doctor` tells of another release.",
    ),
    Fault(
        59,
        _CLOCKS,
        "Leap days, far dates, dates that do not exist",
        "Instants are microseconds up to the year 9999; what never fires is refused.",
    ),
    Fault(
        60,
        _NODES,
        "Two workers have one name",
        "The second waits, and says so, until the first has left or is purged.",
    ),
    Fault(
        61,
        _NODES,
        "A node is renamed, or its pid is somebody else's now",
        "Ids are new at each start; a pid counts only with its start time and its lock.",
    ),
    Fault(
        62,
        _NODES,
        "A worker dies again and again",
        "Each death costs what ran there; only its own share of the fires moves, and back again.",
    ),
    Fault(
        63,
        _NODES,
        "Two nodes purge the same dead node",
        "One flips its state; each of its runs is taken back once.",
    ),
    Fault(
        64,
        _NODES,
        "A purged node comes back",
        "It stops its work, writes to nothing that was taken over, and joins under a new id.",
    ),
    Fault(
        65,
        _NODES,
        "The whole fleet is away for an hour",
        "Each instant is accounted for by `misfire` and `misfire_grace_s`, at a bounded pace.",
    ),
    Fault(
        66,
        _NODES,
        "Nodes of two versions side by side",
        "Changes of the schema only add; a node that is too old says so and does not start.",
    ),
    Fault(
        67,
        _NODES,
        "Two nodes change the schema at once, or one dies half-way",
        "One at a time, under a lock; what was begun can be finished.",
    ),
    Fault(68, _TASKS, "A fork bomb", "`pids_max` bounds it, and its end is the end of all of it."),
    Fault(69, _TASKS, "Output without end", "All of it is read and counted; a bounded tail is kept."),
    Fault(
        70,
        _TASKS,
        "Output of any bytes",
        "It is kept as it is, and shown so that it cannot drive a terminal.",
    ),
    Fault(71, _TASKS, "A task deaf to SIGTERM", "SIGKILL after `kill_grace_s`, to all of it."),
    Fault(
        72,
        _TASKS,
        "A task leaves a daemon that holds its output open",
        "The run ends with its process; what is left is killed, unless `leftovers` is `leave`.",
    ),
    Fault(73, _TASKS, "Zombies and orphans", "The guardian reaps what falls to it."),
    Fault(74, _TASKS, "A task cannot be started", "The run says why; the first time another node tries."),
    Fault(
        75,
        _TASKS,
        "A task finds or leaves an odd environment",
        "It begins with an allow-list of variables, a umask, a session and three descriptors.",
    ),
    Fault(
        76,
        _TASKS,
        "Ten thousand tasks are due in one second",
        "They are claimed in batches and run as slots allow.",
    ),
    Fault(
        77,
        _TASKS,
        "A task is longer than its interval",
        "`overlap` decides, by a unique column of the store.",
    ),
    Fault(
        78,
        _TABLE,
        "A `cron` that means nothing",
        "It is a problem that says what; the last good version runs on, the other rows are not touched.",
    ),
    Fault(
        79,
        _TABLE,
        "JSON that is none, or not what was expected",
        "The table refuses what is no JSON; the rest is a problem like 78.",
    ),
    Fault(
        80,
        _TABLE,
        "A row is edited between claim and start",
        "A run names the version that it was opened from, and runs that one.",
    ),
    Fault(
        81,
        _TABLE,
        "A row is deleted or paused while it runs",
        "What runs goes on; nothing new begins; its history stays.",
    ),
    Fault(
        82,
        _TABLE,
        "A row, or the watermark, is set back by hand",
        "Instants that have a row stay; what is older than the definition owes nothing.",
    ),
    Fault(
        83,
        _TABLE,
        "A table or column is gone",
        "As an outage, told loudly; work goes on when it is back, without a restart.",
    ),
    Fault(84, _TABLE, "An edit that leaves `updated_at` alone", "A digest over all versions tells of it."),
    Fault(
        85,
        _TABLE,
        "An editor leaves a transaction open",
        "Nobody waits for it: nodes read without locks and write elsewhere.",
    ),
    Fault(
        86,
        _TABLE,
        "Two workers use one SQLite file",
        "Writers take turns from the first statement on, and wait for each other.",
    ),
)
