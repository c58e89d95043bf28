//! The one table of fields of a context and of a process's contexts together. Every output reads it: `list` with -o and
//! -Q, the screen, the page and its script, JSON, metrics, help and documentation.
//!
//! To add a column: add a row. Where it is shown is in the row; everywhere it stands in the table's order.

pub(crate) mod cell;
pub mod choice;
pub(crate) mod order;
pub(crate) mod rank;
pub(crate) mod search;

use aioinspect_model::container_names::Names;
use aioinspect_model::owner_sums::{Sum, Sums};
use aioinspect_model::picture::{ContextView, Fill, Origin, Outlook};

use crate::fields::cell::Cell;
use crate::filter::ValueKind;
use crate::metrics_list::{self as metrics, Metric};

/// A place where fields are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// `list -o` and `-Q`.
    List,
    /// `list` without `-o`.
    Usual,
    /// The screen's table of processes.
    Processes,
    /// The screen's table of owners.
    Owners,
    /// The screen's table of contexts.
    Contexts,
    /// The page's table.
    Page,
    /// The facts of one context, on the screen and on the page.
    Facts,
    /// Where the screen and the page look for a word.
    Search,
    /// An object of `contexts` in JSON.
    Json,
    /// `list --by` with `-o`.
    Groups,
    /// `list --by` without `-o`.
    UsualGroups,
}

/// What is read for a field beside a look at the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing, or for a field of [`Of::Owner`] its control groups.
    Look,
    /// `status` of each process, and the names of users.
    Status,
    /// The command line of each process.
    Cmdline,
    /// The files of containers' runtimes.
    Names,
    /// What a watch that is under way knows.
    Watch,
}

/// Of what a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The process, or the context.
    Context,
    /// The process's owner: it takes a look at its control groups. In JSON such fields are in an object of their own.
    Owner,
}

/// How the numbers of several contexts become one.
#[derive(Clone, Copy)]
pub enum Summed {
    /// They do not.
    Never,
    /// It is the same of all contexts of a process.
    Common,
    /// They are added up.
    Sum(fn(&Sums) -> Sum),
    /// They are counted.
    Count(fn(&Sums) -> u64),
    /// They are added up, and it is how much of the host's limit that is.
    Share(fn(&Sums) -> Sum),
    /// The greatest counts.
    Greatest(fn(&Sums) -> Option<f64>),
    /// The worst finding counts.
    Worst,
}

/// How a column of the screen is laid out; numbers get the width of the greatest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Columns below which it is not shown.
    pub least: usize,
    /// Columns at which it can be read: more important ones get them before others are shown.
    pub good: usize,
    /// Columns that are enough for it.
    pub enough: usize,
    /// Where there is not room for all, the greatest go first.
    pub dispensable: u8,
}

const fn shape(least: usize, good: usize, enough: usize, dispensable: u8) -> Shape {
    Shape { least, good, enough, dispensable }
}

/// A row of the table.
pub struct Row {
    /// The heading, and the name for `-o` and `-Q`.
    pub heading: &'static str,
    /// The name it had before, which is still understood.
    pub old_heading: Option<&'static str>,
    /// The key in JSON; in lower case the heading says the same where that differs.
    pub id: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// What follows its number in a list of facts, with the blank or comma between.
    pub unit: &'static str,
    /// What it is for `-Q`.
    pub kind: ValueKind,
    /// What the page's script makes of it: `text`, `number`, `address`, `percent` or `findings`.
    pub script: &'static str,
    /// Of what it is.
    pub of: Of,
    /// What is read for it.
    pub takes: Takes,
    /// What a context has there.
    pub value: fn(&ContextView) -> Cell<'_>,
    /// Whether the greatest comes first unless the order is turned around.
    pub greatest_first: bool,
    /// Whether more than none stands out.
    pub stands_out: bool,
    /// What a process has there, and an owner in metrics.
    pub summed: Summed,
    /// The metric of an owner's sum.
    pub metric: Option<Metric>,
    /// Its layout on the screen.
    pub shape: Shape,
    /// Where it is shown.
    pub on: &'static [View],
}

impl Row {
    const TEXT: Row = Row {
        heading: "",
        old_heading: None,
        id: "",
        help: "",
        unit: "",
        kind: ValueKind::Text,
        script: "text",
        of: Of::Context,
        takes: Takes::Look,
        value: |_| Cell::Unknown,
        greatest_first: false,
        stands_out: false,
        summed: Summed::Never,
        metric: None,
        shape: shape(8, 8, 8, 9),
        on: &[],
    };
    const NUMBER: Row = Row { kind: ValueKind::Number, script: "number", ..Row::TEXT };
    const COUNT: Row = Row { greatest_first: true, ..Row::NUMBER };
    const OWNER: Row = Row { of: Of::Owner, summed: Summed::Common, ..Row::TEXT };
    const NAME: Row = Row { takes: Takes::Names, ..Row::OWNER };
}

macro_rules! fields {
    ($($name:ident = $id:literal, $heading:literal, $help:literal, $like:ident { $($key:ident: $value:expr,)* })*) => {
        /// A field of a context or of a process: a row of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Field { $(#[doc = $help] $name,)* }

        impl Field {
            /// All of them, in the table's order.
            pub const ALL: &'static [Field] = &[$(Field::$name,)*];

            /// What the table says of it.
            pub fn row(self) -> &'static Row {
                match self {
                    $(Field::$name => {
                        const ROW: Row =
                            Row { id: $id, heading: $heading, help: $help, $($key: $value,)* ..Row::$like };
                        &ROW
                    })*
                }
            }
        }
    };
}

fields! {
    Pid = "pid", "PID", "process; of several that share the memory, the lowest", NUMBER {
        value: |of| Cell::Number(of.pid.0.into()),
        summed: Summed::Common,
        shape: shape(3, 3, 3, 0),
        on: &[View::List, View::Usual, View::Processes, View::Contexts, View::Page, View::Facts, View::Search, View::Json],
    }
    Comm = "comm", "COMM", "name of the process", TEXT {
        value: |of| Cell::Text(&of.comm),
        summed: Summed::Common,
        shape: shape(8, 11, 16, 2),
        on: &[View::List, View::Usual, View::Processes, View::Contexts, View::Page, View::Facts, View::Search, View::Json],
    }
    Owner = "owner", "OWNER", "workload of the process: pod, else container, else systemd unit or session, else path of its cgroup", OWNER {
        value: |of| Cell::Text(of.owner.workload().as_bytes()),
        shape: shape(10, 16, 32, 4),
        on: &[View::List, View::Processes, View::Owners, View::Page, View::Facts],
    }
    Uid = "uid", "UID", "effective user id of the process", NUMBER {
        takes: Takes::Status,
        value: |of| Cell::if_read(of.about.uid),
        summed: Summed::Common,
        on: &[View::List, View::Json],
    }
    User = "user", "USER", "name of that user by /etc/passwd, else its number", TEXT {
        takes: Takes::Status,
        value: |of| if of.about.user.is_empty() { Cell::Absent } else { Cell::Text(&of.about.user) },
        summed: Summed::Common,
        on: &[View::List, View::Json],
    }
    NsPid = "ns_pid", "NSPID", "the PID that the process has in its container, as its log shows it", NUMBER {
        takes: Takes::Status,
        value: |of| Cell::if_read(of.about.ns_pid),
        summed: Summed::Common,
        on: &[View::List, View::Json],
    }
    Cmdline = "cmdline", "CMDLINE", "command line of the process, at most 32 KiB of it", TEXT {
        takes: Takes::Cmdline,
        value: |of| of.about.cmdline.as_deref().map_or(Cell::Absent, Cell::Text),
        summed: Summed::Common,
        on: &[View::List, View::Json],
    }
    Start = "start_ticks", "START", "start of the process, in clock ticks after boot", NUMBER {
        unit: " clock ticks after boot",
        value: |of| Cell::Number(of.start_ticks),
        summed: Summed::Common,
        on: &[View::List, View::Facts, View::Json],
    }
    Context = "context", "CONTEXT", "context id (aio_context_t): the address of the ring", NUMBER {
        script: "address",
        value: |of| if of.context.is_known() { Cell::Address(of.context.0) } else { Cell::Unknown },
        shape: shape(14, 14, 14, 6),
        on: &[View::List, View::Usual, View::Contexts, View::Page, View::Facts, View::Search, View::Json],
    }
    Age = "age_seconds", "AGE", "time since io_setup made the context, if a running watch or serve saw it; -Q and JSON count seconds", COUNT {
        takes: Takes::Watch,
        value: |of| match of.origin {
            Some(Origin::Made { age_ns, .. }) => Cell::Nanoseconds(age_ns),
            Some(Origin::Found { .. }) => Cell::Unknown,
            None => Cell::Absent,
        },
        shape: shape(5, 9, 12, 9),
        on: &[View::List, View::Contexts, View::Facts, View::Json],
    }
    Processes = "processes", "PROCESSES", "number of the processes that have contexts", COUNT {
        summed: Summed::Count(|sums| sums.processes),
        shape: shape(9, 9, 9, 5),
        on: &[View::Owners, View::Groups, View::UsualGroups],
    }
    Contexts = "contexts", "CONTEXTS", "number of the contexts of a process", COUNT {
        value: |_| Cell::Number(1),
        summed: Summed::Count(|sums| sums.contexts),
        metric: Some(metrics::CONTEXTS),
        shape: shape(8, 8, 8, 4),
        on: &[View::Processes, View::Owners, View::Groups, View::UsualGroups],
    }
    MaxReqs = "max_reqs", "MAX_REQS", "argument of io_setup: slots reserved of fs.aio-max-nr", COUNT {
        unit: " slots of fs.aio-max-nr",
        value: |of| Cell::known(of.max_reqs),
        summed: Summed::Sum(|sums| sums.reserved),
        metric: Some(metrics::OWNER_RESERVED),
        shape: shape(8, 8, 8, 3),
        on: &[View::List, View::Usual, View::Processes, View::Owners, View::Contexts, View::Page, View::Facts, View::Json, View::Groups, View::UsualGroups],
    }
    Share = "share", "SHARE", "how much of fs.aio-max-nr its slots are, in percent", COUNT {
        summed: Summed::Share(|sums| sums.reserved),
        shape: shape(6, 6, 6, 4),
        on: &[View::Owners, View::Groups, View::UsualGroups],
    }
    NrEvents = "nr_events", "NR_EVENTS", "number of ring entries", COUNT {
        old_heading: Some("SLOTS"),
        unit: " ring entries",
        value: |of| Cell::known(of.nr_events),
        summed: Summed::Sum(|sums| sums.ring_entries),
        metric: Some(metrics::RING_SLOTS),
        shape: shape(9, 9, 9, 8),
        on: &[View::List, View::Usual, View::Contexts, View::Facts, View::Json, View::Groups],
    }
    InFlight = "in_flight", "IN_FLIGHT", "requests submitted and not completed", COUNT {
        unit: " requests",
        value: |of| Cell::known(of.in_flight),
        stands_out: true,
        summed: Summed::Sum(|sums| sums.in_flight),
        metric: Some(metrics::IN_FLIGHT),
        shape: shape(9, 9, 9, 3),
        on: &[View::List, View::Usual, View::Processes, View::Owners, View::Contexts, View::Page, View::Facts, View::Json, View::Groups, View::UsualGroups],
    }
    Unreaped = "unreaped", "UNREAPED", "completions in the ring that the process has not reaped", COUNT {
        unit: " completions",
        value: |of| Cell::known(of.unreaped),
        stands_out: true,
        summed: Summed::Sum(|sums| sums.unreaped),
        metric: Some(metrics::UNREAPED),
        shape: shape(8, 8, 8, 4),
        on: &[View::List, View::Usual, View::Processes, View::Owners, View::Contexts, View::Page, View::Facts, View::Json, View::Groups, View::UsualGroups],
    }
    Free = "free", "FREE", "ring entries neither in flight nor unreaped; some may be usable on other CPUs only", COUNT {
        unit: " ring entries",
        value: |of| Cell::known(of.free()),
        on: &[View::List, View::Facts],
    }
    Fill = "fill", "FILL", "how much of the ring is in flight or unreaped, in percent", COUNT {
        unit: " of the ring",
        script: "percent",
        value: |of| of.fill().map_or(Cell::Unknown, |fill: Fill| Cell::Percent(fill.percent())),
        summed: Summed::Greatest(|sums| sums.max_fill),
        metric: Some(metrics::MAX_FILL),
        shape: shape(4, 4, 4, 7),
        on: &[View::Contexts, View::Page, View::Facts],
    }
    Head = "head", "HEAD", "ring entry to be reaped next, as the process claims", NUMBER {
        unit: ", the ring entry to be reaped next, as the process claims",
        value: |of| Cell::known(of.head),
        on: &[View::List, View::Facts, View::Json],
    }
    Tail = "tail", "TAIL", "ring entry to be filled next", NUMBER {
        unit: ", the ring entry to be filled next",
        value: |of| Cell::known(of.tail),
        on: &[View::List, View::Facts, View::Json],
    }
    RingLen = "ring_len", "RING_LEN", "bytes of the ring", COUNT {
        unit: " bytes",
        value: |of| of.ring_len.map_or(Cell::Unknown, Cell::Number),
        summed: Summed::Sum(|sums| sums.ring_bytes),
        metric: Some(metrics::RING_MEMORY),
        on: &[View::List, View::Facts, View::Json, View::Groups, View::UsualGroups],
    }
    Mapped = "mapped", "MAPPED", "whether the ring is mapped at its address", TEXT {
        kind: ValueKind::Bool,
        value: |of| of.mapped.map_or(Cell::Unknown, Cell::Flag),
        on: &[View::List, View::Facts, View::Json],
    }
    Runtime = "runtime", "RUNTIME", "who runs the container: docker, containerd, cri-o, podman, ..", OWNER {
        value: |of| Cell::Text(of.owner.runtime.as_bytes()),
        on: &[View::List, View::Facts, View::Json],
    }
    Unit = "unit", "UNIT", "systemd unit", OWNER {
        value: |of| Cell::Text(of.owner.unit.as_bytes()),
        on: &[View::List, View::Facts, View::Search, View::Json],
    }
    Container = "container", "CONTAINER", "container id", OWNER {
        value: |of| Cell::Text(of.owner.container.as_bytes()),
        on: &[View::List, View::Facts, View::Search, View::Json],
    }
    Pod = "pod", "POD_UID", "pod UID", OWNER {
        value: |of| Cell::Text(of.owner.pod.as_bytes()),
        on: &[View::List, View::Facts, View::Search, View::Json],
    }
    Cgroup = "cgroup", "CGROUP", "path of the cgroup, where it names no unit, container or pod", OWNER {
        value: |of| Cell::Text(of.owner.cgroup.as_bytes()),
        on: &[View::List, View::Search, View::Json],
    }
    PodCalled = "pod_called", "POD", "pod: namespace and name if the files of its runtime tell them, else its UID", NAME {
        value: |of| Cell::Text(if of.about.pod.is_empty() { &of.owner.pod } else { &of.about.pod }.as_bytes()),
        on: &[View::List],
    }
    PodName = "pod_name", "POD_NAME", "name of the pod, if the files of its runtime tell it", NAME {
        value: |of| named(of, |names| &names.pod),
        on: &[View::Json],
    }
    Namespace = "namespace", "NAMESPACE", "Kubernetes namespace of the pod, if the files of its runtime tell it", NAME {
        value: |of| named(of, |names| &names.namespace),
        on: &[View::List, View::Json],
    }
    ContainerName = "container_name", "CONTAINER_NAME", "name of the container, if the files of its runtime tell it", NAME {
        value: |of| named(of, |names| &names.container),
        on: &[View::List, View::Json],
    }
    Image = "image", "IMAGE", "image of the container, if the files of its runtime tell it", NAME {
        value: |of| named(of, |names| &names.image),
        on: &[View::List, View::Json],
    }
    Dying = "dying_seconds", "DYING", "of a dying context: for how long its end has been waited for, in seconds", COUNT {
        value: |of| if of.is_dying() { of.dying_ns.map_or(Cell::Unknown, Cell::Nanoseconds) } else { Cell::Absent },
        summed: Summed::Greatest(|sums| sums.oldest_dying_ns.map(|ns| float(ns) / 1e9)),
        metric: Some(metrics::DYING_OLDEST),
        on: &[View::Json],
    }
    Findings = "findings", "FINDINGS", "problems found with the context, and what waits in it", TEXT {
        script: "findings",
        value: |of| Cell::Findings(of),
        greatest_first: true,
        summed: Summed::Worst,
        shape: shape(9, 13, 60, 1),
        on: &[View::List, View::Usual, View::Contexts, View::Page, View::Search, View::Json],
    }
    Worst = "worst", "WORST", "worst finding of the contexts of a process", TEXT {
        value: |of| Cell::Findings(of),
        greatest_first: true,
        summed: Summed::Worst,
        shape: shape(9, 13, 19, 1),
        on: &[View::Processes, View::Owners, View::Groups, View::UsualGroups],
    }
    SubmitFailsOn = "submit_fails_on", "SUBMIT_FAILS_ON", "CPUs on which io_submit would fail now with EAGAIN", TEXT {
        value: |of| of.outlook.as_ref().map_or(Cell::Unknown, |outlook| Cell::Cpus(&outlook.fails_on)),
        on: &[View::Facts, View::Json],
    }
    StrandedCredits = "stranded_credits", "STRANDED_CREDITS", "free ring entries that only some CPUs can use", COUNT {
        value: |of| of.outlook.as_ref().map_or(Cell::Unknown, |Outlook { stranded, .. }| Cell::Stranded(stranded)),
        summed: Summed::Sum(|sums| sums.stranded),
        metric: Some(metrics::STRANDED),
        on: &[View::Facts, View::Json],
    }
    Ghosts = "ghosts", "GHOSTS", "rings of a process that are mapped without a context", COUNT {
        summed: Summed::Count(|sums| sums.ghosts),
        metric: Some(metrics::GHOSTS),
    }
    DyingContexts = "dying", "DYING_CONTEXTS", "contexts of a process that wait for their requests to end", COUNT {
        summed: Summed::Count(|sums| sums.dying),
        metric: Some(metrics::DYING),
    }
}

impl Field {
    /// The fields that are shown there, in the table's order.
    pub fn on(view: View) -> impl Iterator<Item = Field> {
        Field::ALL.iter().copied().filter(move |field| field.row().on.contains(&view))
    }

    /// The heading of its column, in upper case: also its name in -o and -Q.
    pub fn heading(self) -> &'static str {
        self.row().heading
    }

    /// The column of `list` with this name, old or new, in upper or lower case.
    pub fn named(name: &str) -> Option<Field> {
        Field::on(View::List).find(|field| field.is_called(name))
    }

    /// Whether that is its name, old or new, in upper or lower case.
    pub(crate) fn is_called(self, name: &str) -> bool {
        let is = |heading: &str| heading.eq_ignore_ascii_case(name);
        is(self.heading()) || self.row().old_heading.is_some_and(is)
    }

    /// What a context has there.
    pub fn of(self, context: &ContextView) -> Cell<'_> {
        (self.row().value)(context)
    }

    /// Whether its cells end at the right side, as numbers do.
    pub fn is_right(self) -> bool {
        self.row().kind == ValueKind::Number
    }

    /// Whether it needs the process's control groups, which costs a read of a file for each process.
    pub fn is_of_owner(self) -> bool {
        self.row().of == Of::Owner
    }

    /// What is read for it.
    pub fn takes(self) -> Takes {
        self.row().takes
    }

    /// Appends what `list` shows of it.
    pub fn write(self, context: &ContextView, text: &mut String) {
        self.of(context).write(text);
    }

    /// Its number in metrics; `None` where it has none, or it is not known: then there is no series.
    pub fn measured(self, sums: &Sums) -> Option<f64> {
        match self.row().summed {
            Summed::Sum(read) => read(sums).value().map(float),
            Summed::Count(read) => Some(float(read(sums))),
            Summed::Greatest(read) => read(sums),
            Summed::Never | Summed::Common | Summed::Worst | Summed::Share(_) => None,
        }
    }
}

/// One of the names of a process's container; `Absent` where none is known, which leaves it out of JSON.
fn named(of: &ContextView, name: fn(&Names) -> &String) -> Cell<'_> {
    let name = of.about.names.as_ref().map(name).filter(|name| !name.is_empty());
    name.map_or(Cell::Absent, |name| Cell::Text(name.as_bytes()))
}

/// Prometheus' numbers are doubles; a sum beyond 2^53 loses its last digits there.
#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
pub fn float(number: u64) -> f64 {
    number as f64
}

/// The columns of `list`, as `--help` shows them.
pub fn help() -> String {
    let line = |field: Field| {
        let row = field.row();
        let usual = if row.on.contains(&View::Usual) { '*' } else { ' ' };
        let old = row.old_heading.map_or_else(String::new, |old| format!(" (also {old})"));
        format!("{usual} {:<10} {}{old}\n", row.heading, row.help)
    };
    let of_group = |field: Field| {
        let usual = if field.row().on.contains(&View::UsualGroups) { '*' } else { ' ' };
        format!("{usual} {:<10} {}\n", field.heading(), field.row().help)
    };
    format!(
        "Columns for -o and -Q (* shown without -o):\n{}\nColumns for -o with --by, in addition to the one it names (* shown without -o):\n{}",
        Field::on(View::List).map(line).collect::<String>(),
        Field::on(View::Groups).map(of_group).collect::<String>()
    )
}

#[cfg(test)]
mod tests;
