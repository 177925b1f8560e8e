"""What each column and each of its values promises: a sentence each. `proofs` says what proves them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PROMISES", "Promise"]


class Promise(NamedTuple):
    """A value of a column; `elsewhere` says why it is not judged on three nodes, or not on each store."""

    column: str
    value: str
    text: str
    elsewhere: str = ""


_PURE = "nothing of it depends on nodes or stores"
_REDIS = "SQLite is used without Redis"
_CGROUPS = "the host must let cgroups be made"
_LONG = "it would take longer than a trial"

PROMISES: tuple[Promise, ...] = (
    Promise(
        "id", "number", "It is never given out again, also not after a deletion.", "the store itself makes it"
    ),
    Promise("name", "odd letters", "Letters of any script may stand in it, and it is found again in keys."),
    Promise("description", "text", "It is shown to people."),
    Promise("owner", "text", "It is shown to people."),
    Promise("cron", "* * * * * *", "Each instant has one run."),
    Promise("cron", "fields", "Five or six fields mean what Debian's cron takes them to mean."),
    Promise("cron", "@daily ...", "A word stands for its fields.", _PURE),
    Promise("cron", "@every", "Fires each time that so much real time has passed."),
    Promise("cron", "@at", "Fires once."),
    Promise("cron", "@after_end", "The next instant is the end of the last run and the delay."),
    Promise("cron", "@manual", "Runs when somebody asks."),
    Promise("cron", "H", "A value by a hash of the name, always the same.", _PURE),
    Promise("cron", "quartz:", "The fields mean what Quartz takes them to mean."),
    Promise("command", "text", "It is run as it stands."),
    Promise("kind", "shell", "The command is a line of the shell."),
    Promise("kind", "python", "The command is a function that is called."),
    Promise("kind", "http", "The command is a URL that is asked once."),
    Promise("kind", "publish", "The command is where in Redis one message goes.", _REDIS),
    Promise("args.env", "object", "Variables of the task."),
    Promise("args.cwd", "folder", "The folder in which the task begins."),
    Promise("args.stdin", "text", "What the task can read from its input."),
    Promise("args.success_codes", "list", "The exit or status codes that are a success."),
    Promise("args.leftovers", "kill", "What a task left behind is killed when it has ended."),
    Promise("args.leftovers", "leave", "What a task left behind goes on."),
    Promise("args.memory_mb", "number", "The task cannot use more memory.", _CGROUPS),
    Promise("args.pids_max", "number", "The task cannot have more processes and threads.", _CGROUPS),
    Promise("args.cpu_pct", "number", "The task cannot use more of a core.", _CGROUPS),
    Promise("args.kwargs", "object", "The arguments of the function."),
    Promise("args.method", "word", "The method of the request."),
    Promise("args.headers", "object", "The headers of the request."),
    Promise("args.body", "text or JSON", "The body of the request."),
    Promise("args.message", "JSON", "The message that is sent.", _REDIS),
    Promise(
        "args.maxlen", "number", "A stream keeps about so many entries.", "Redis cuts streams by hundreds"
    ),
    Promise("timezone", "IANA name", "The fields are read by the clock of that zone."),
    Promise("enabled", "1", "It fires."),
    Promise("enabled", "0", "Nothing is due, and nothing leaves a row."),
    Promise("starts_at", "time", "Nothing is due before it."),
    Promise("ends_at", "time", "Nothing is due from it on."),
    Promise("calendar", "exclude", "Nothing is due on an excluded day."),
    Promise("calendar", "add", "A make-up day has the times of other days."),
    Promise("dst", "cron", "What is jumped over fires right after; what comes twice, the first time."),
    Promise("dst", "skip", "What is jumped over is left out."),
    Promise("dst", "both", "What comes twice fires twice."),
    Promise("jitter_s", "seconds", "Starts are delayed by the name, below so many seconds; instants stay."),
    Promise("queue", "name", "Only nodes that serve it run it; where there is none it waits, and is missed."),
    Promise("priority", "number", "Of what waits in a queue the highest begins first."),
    Promise("route", "sticky", "The same node has it as long as it lives."),
    Promise("route", "spread", "Each fire has its own order of nodes."),
    Promise("route", "any", "It is queued, and a node that is free takes it."),
    Promise("route", "all", "Each live node of the queue gets a run, and nobody gets that of another."),
    Promise("route", "node:NAME", "Only that node runs it; while it is away, the run waits."),
    Promise("shards", "number", "A fire is so many runs, dealt evenly over the nodes."),
    Promise("shard_args", "list", "Each shard is told its own parameter."),
    Promise(
        "overlap", "skip", "While a run is open, further fires are skipped, and say because of which run."
    ),
    Promise("overlap", "wait", "One fire waits for the open run; the others are skipped."),
    Promise("overlap", "replace", "The newest fire takes the place of the older ones, which are stopped."),
    Promise("overlap", "allow", "Runs of a schedule run at once."),
    Promise("lane", "of size 1", "One run at a time, by (priority, fire_at, schedule_id)."),
    Promise("lane", "with overlap", "A schedule obeys both its lane and its own overlap policy."),
    Promise("lane", "with retries", "A run that waits for its retry leaves the lane to others."),
    Promise("misfire", "once", "After an outage the latest missed instant runs; the others are missed."),
    Promise("misfire", "all", "After an outage all missed instants run, oldest first, one by one."),
    Promise("misfire", "skip", "After an outage no missed instant runs."),
    Promise("misfire_grace_s", "seconds", "What is found, or has not begun, after so long is missed."),
    Promise("misfire_grace_s", "0", "Without a free slot at its instant a fire is missed."),
    Promise("timeout_s", "seconds", "An attempt that takes longer is stopped."),
    Promise("timeout_s", "NULL", "86,400 s, and 60 s for http and publish.", _LONG),
    Promise("timeout_s", "0", "An attempt may take as long as it likes.", _LONG),
    Promise("retries", "number", "A failure is tried again so many times."),
    Promise("retries", "0", "A failure is final."),
    Promise("retries", "-1", "A failure is tried again until it succeeds."),
    Promise("retry_delay_s", "seconds", "The first retry waits so long."),
    Promise("retry_backoff", "factor", "Each further retry waits longer by the factor."),
    Promise("on_node_loss", "rerun", "What ran on a dead node runs again, as the next attempt."),
    Promise("on_node_loss", "fail", "What ran on a dead node is stopped, and lost."),
    Promise("on_node_loss", "finish", "What runs on a node without a lease is left to end, and lost."),
    Promise("after", "one schedule", "A follower fires for its upstream's instant, and is told of its run."),
    Promise("after", "several schedules", "A follower waits for all of its upstreams."),
    Promise("after", "a cycle", "It is a problem that says its path."),
    Promise("after", "an unknown name", "It is a problem that says so."),
    Promise("after", "that never meet", "Upstreams that never share an instant are a problem."),
    Promise("after_rule", "success", "It runs where all upstreams succeeded, and is skipped otherwise."),
    Promise("after_rule", "done", "It runs whatever the ends of its upstreams."),
    Promise("after_rule", "failure", "It runs once, where a part failed, when all parts have ended."),
    Promise("run_as", "user", "The task runs as that user."),
    Promise("alert", "NULL", "What goes wrong is told as the host says."),
    Promise("alert", "command", "It is told by a command of the schedule's own."),
    Promise("alert", "mail", "It is told by a letter.", "the tests' machine sends no letters"),
    Promise("alert", "on", "Only the reasons that are named are told."),
    Promise("alert", "off", "Nothing is told."),
    Promise("version", "hash", "An edit holds for the fires after it, and each version is on record."),
    Promise(
        "created_at", "time", "When the row was made, by the store's clock.", "the store itself makes it"
    ),
    Promise("updated_at", "time", "An edit moves it."),
    Promise("runs.args", "object", "A single run may have args of its own."),
    Promise("runs.kill_requested", "1", "The run is stopped."),
    Promise("queues.paused", "1", "Nothing of the queue begins until it is resumed."),
    Promise("lanes.size", "number", "So many runs of the lane at once, on all nodes together."),
)
"""In the order of the columns; what other tables say about runs comes last."""
