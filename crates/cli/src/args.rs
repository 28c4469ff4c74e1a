//! The command line's grammar: `oncilla VERB [OBJECTS] [--flags]`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes:
  0    yes, or done
  1    read and judged: no (denied, invalid, different, not found)
  2    could not judge (usage, unreadable file, server not reachable)
  3    partly done; the output says which part
  130  interrupted, and cleaned up";

/// Network policy for one laptop, bare hosts and Kubernetes: enforced, and always explained.
#[derive(Parser, Debug)]
#[command(name = "oncilla", version, after_help = EXIT_CODES, max_term_width = 110)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// The API server's socket. Default: the one running lab, else /run/oncilla/api.sock
    #[arg(long, global = true, value_name = "SOCKET", env = "ONCILLA_SERVER")]
    pub(crate) server: Option<PathBuf>,
    /// The lab to talk to, by name
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "server")]
    pub(crate) lab: Option<String>,
    /// What to log on standard error
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        default_value = "info",
        env = "ONCILLA_LOG"
    )]
    pub(crate) log_level: LogLevel,
    /// How to write log lines
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// No colours (also: the environment variable `NO_COLOR`)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Print the answer only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// How objects are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    Json,
    Yaml,
    Wide,
    Name,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Play the founding story on throw-away namespaces: policies, real connections, reasons
    #[command(after_help = "Example:\n  oncilla demo")]
    Demo {
        /// `json` prints one object for machines
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Format>,
    },
    /// Run a cluster of network namespaces on this machine
    #[command(
        subcommand,
        after_help = "Example:\n  oncilla lab up --nodes 2 -f examples/demo/00-cluster.yaml\n\n\
        Environment:\n  ONCILLA_LABS  another folder for labs, whose labs only commands with it see"
    )]
    Lab(Lab),
    /// Own a store file and serve the API on a unix socket
    #[command(after_help = "Example:\n  oncilla server --store /var/lib/oncilla/store.redb")]
    Server(Server),
    /// Enforce policy on this node
    #[command(after_help = "Example:\n  oncilla agent --node n1")]
    Agent(Agent),
    /// Say whether the kernel of this node holds what the server's objects mean; changes nothing
    #[command(after_help = "Example:\n  oncilla verify --node n1\n\n\
        Exit codes: 0 the same, 1 something is different, 2 it could not be judged")]
    Verify(Verify),
    /// Print which flows were denied, and by which rule
    #[command(after_help = "Example:\n  oncilla log -f production/database")]
    Log(Log),
    /// Say whether files hold valid objects: no server, no root
    #[command(after_help = "Example:\n  oncilla validate -f policies/ -R\n\n\
        Exit codes: 0 all valid, 1 an object is invalid or a file is neither YAML nor JSON, 2 wrong usage or a file \
        that cannot be read")]
    Validate(Validate),
    /// Create or change objects from files; all are checked before the first is written
    #[command(after_help = "Example:\n  oncilla apply -f policies/")]
    Apply(Apply),
    /// Print objects
    #[command(after_help = "Example:\n  oncilla get networkpolicies.p -A -o wide")]
    Get(Get),
    /// Print everything that is known about objects, and what judges them
    #[command(after_help = "Example:\n  oncilla describe pod production/backend")]
    Describe(Select),
    /// Delete objects by name or from files
    #[command(after_help = "Example:\n  oncilla delete networkpolicy production/deny-all")]
    Delete(Delete),
    /// Say whether a packet gets through, and which rule decides
    #[command(
        after_help = "Example:\n  oncilla why production/frontend production/backend tcp/8000\n\
        \x20 oncilla why -f policies/ production/frontend 203.0.113.10 tcp/443\n\n\
        Exit codes: 0 allowed, 1 denied, 2 cannot say"
    )]
    Why(Why),
    /// Show nodes, agents and problems
    #[command(after_help = "Example:\n  oncilla status --kernel")]
    Status(Status),
    /// Print the version
    #[command(after_help = "Example:\n  oncilla version")]
    Version,
    /// Print a completion script
    #[command(after_help = "Example:\n  oncilla completion bash > /etc/bash_completion.d/oncilla")]
    Completion {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a folder
    #[command(after_help = "Example:\n  oncilla man /usr/local/share/man/man1")]
    Man {
        /// Where to write
        folder: PathBuf,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum Lab {
    /// Start a lab and return when its pods are ready
    #[command(
        after_help = "Example:\n  oncilla lab up --name try --nodes 2 -f examples/demo/00-cluster.yaml"
    )]
    Up {
        /// The lab's name; `--lab` is the same. Default: lab
        #[arg(long)]
        name: Option<String>,
        /// How many nodes: n1, n2, …
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
        nodes: u16,
        /// Manifests to apply before it is ready: files, folders, or `-`
        #[arg(short, long = "filename", value_name = "FILES")]
        files: Vec<PathBuf>,
        /// A host outside the cluster that answers at this address; may be repeated
        #[arg(long, value_name = "IP")]
        outside: Vec<std::net::IpAddr>,
        /// Stay in the foreground; Ctrl-C takes the lab down
        #[arg(long)]
        foreground: bool,
    },
    /// Take a lab down and leave nothing behind
    #[command(after_help = "Example:\n  oncilla lab down")]
    Down {
        /// The lab's name; `--lab` is the same. Default: lab
        #[arg(long)]
        name: Option<String>,
    },
    /// Show a lab's nodes and pods
    #[command(after_help = "Example:\n  oncilla lab status")]
    Status {
        /// The lab's name; `--lab` is the same. Default: lab
        #[arg(long)]
        name: Option<String>,
        /// How to print
        #[arg(short, long, value_name = "FORMAT")]
        output: Option<Format>,
    },
    /// Run a command inside a pod
    #[command(
        after_help = "Example:\n  oncilla lab exec production/frontend -- curl -s http://backend:8000"
    )]
    Exec {
        /// The lab's name; `--lab` is the same. Default: lab
        #[arg(long)]
        name: Option<String>,
        /// NAMESPACE/POD, or POD in namespace default
        pod: String,
        /// The command and its arguments, behind `--`
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Server {
    /// The store file; made when missing
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/lib/oncilla/store.redb"
    )]
    pub(crate) store: PathBuf,
    /// The socket to listen on
    #[arg(long, value_name = "SOCKET", default_value = "/run/oncilla/api.sock")]
    pub(crate) socket: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Agent {
    /// This node's name
    #[arg(long, value_name = "NAME", required_unless_present = "remove")]
    pub(crate) node: Option<String>,
    /// Remove our table from the kernel and end. Nothing is enforced afterwards
    #[arg(long, conflicts_with = "node")]
    pub(crate) remove: bool,
    /// Workload interfaces start with one of these, those of pods with the first. `interfacePrefix` of the
    /// Felix configuration adds others, and takes none of these away
    #[arg(long, value_name = "PREFIX,...", default_value = "cali")]
    pub(crate) interface_prefix: String,
    /// The packet mark bits that are ours: contiguous, at least 8
    #[arg(long, value_name = "MASK", default_value = "0xffff0000")]
    pub(crate) mark_mask: String,
    /// From a workload to its own host
    #[arg(long, value_name = "ACTION", default_value = "accept")]
    pub(crate) endpoint_to_host: HostAction,
    /// Let the kernel keep others from changing our table
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) table_owner: When,
    /// Leave established connections alone when a policy starts to deny them
    #[arg(long)]
    pub(crate) keep_established: bool,
}

/// What happens to packets from a workload to its own host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum HostAction {
    Drop,
    Accept,
    Return,
}

/// Whether to use a feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum When {
    /// Where the kernel has it.
    Auto,
    On,
    Off,
}

#[derive(Args, Debug)]
pub(crate) struct Apply {
    /// Files, folders, or `-` for standard input; YAML or JSON, several documents allowed
    #[arg(short, long = "filename", value_name = "FILES", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// For objects without a namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Check everything, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

#[derive(Args, Debug)]
pub(crate) struct Validate {
    /// Files, folders, or `-` for standard input; YAML or JSON, several documents allowed
    #[arg(short, long = "filename", value_name = "FILES", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Go into the folders of folders
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// For objects without a namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// `json` prints what is wrong as a list for machines
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<ReportFormat>,
}

/// How faults are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum ReportFormat {
    Json,
}

#[derive(Args, Debug)]
pub(crate) struct Select {
    /// A kind, or kind/name
    #[arg(value_name = "KIND")]
    pub(crate) kind: String,
    /// Names, or namespace/name
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The namespace. Default: `default`
    #[arg(
        short,
        long,
        value_name = "NAMESPACE",
        conflicts_with = "all_namespaces"
    )]
    pub(crate) namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) select: Select,
    /// How to print
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// A kind, or kind/name
    #[arg(value_name = "KIND", required_unless_present = "files")]
    pub(crate) kind: Option<String>,
    /// Names, or namespace/name
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Delete what these files name
    #[arg(
        short,
        long = "filename",
        value_name = "FILES",
        conflicts_with = "kind"
    )]
    pub(crate) files: Vec<PathBuf>,
    /// The namespace. Default: `default`
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Say what would be deleted, delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A missing object is no error
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Why {
    /// namespace/pod, pod, node:NAME, internet, or an address
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// namespace/pod, pod, service, node:NAME, internet, or an address
    #[arg(value_name = "DST")]
    pub(crate) destination: String,
    /// tcp/8080, udp/53, sctp/9000, icmp, icmp/8, proto/47
    #[arg(value_name = "PROTO/PORT")]
    pub(crate) traffic: String,
    /// Judge these files instead of a running cluster: no root, no server
    #[arg(short, long = "filename", value_name = "FILES")]
    pub(crate) files: Vec<PathBuf>,
    /// Use the IPv6 addresses
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
    /// Also say what the staged policies would change if they were set
    #[arg(long)]
    pub(crate) staged: bool,
    /// By which interface it leaves SRC's node; default: the one with the node's address
    #[arg(long, value_name = "INTERFACE")]
    pub(crate) out_by: Option<String>,
    /// By which interface it comes to DST's node; default: the one with the node's address
    #[arg(long, value_name = "INTERFACE")]
    pub(crate) in_by: Option<String>,
    /// A node in between that forwards it, and by which interfaces; may be repeated
    #[arg(long, value_name = "NODE[:IN:OUT]")]
    pub(crate) through: Vec<String>,
    /// Where it was sent to before destination NAT, as to a node port: address:port
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) sent_to: Option<std::net::SocketAddr>,
    /// How to print
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// This node's name, as pods name it
    #[arg(long, value_name = "NAME")]
    pub(crate) node: String,
    /// What the agent was told: how workload interfaces begin
    #[arg(long, value_name = "PREFIX,...", default_value = "cali")]
    pub(crate) interface_prefix: String,
    /// What the agent was told: the mark bits for classes
    #[arg(long, value_name = "MASK", default_value = "0xffff0000")]
    pub(crate) mark_mask: String,
    /// What the agent was told: from a workload to its host
    #[arg(long, value_name = "ACTION", default_value = "accept")]
    pub(crate) endpoint_to_host: HostAction,
    /// Also end with 1 when others may drop what policy allows
    #[arg(long)]
    pub(crate) strict: bool,
    /// The random packets follow from this number
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How to print
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

#[derive(Args, Debug)]
pub(crate) struct Log {
    /// Only flows of these: namespace/pod, pod, node:NAME, or an address
    #[arg(value_name = "PLACE")]
    pub(crate) places: Vec<String>,
    /// Also print what is denied from now on, until interrupted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// `json` prints one object a line
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Print what the kernel holds, with class numbers replaced by what they mean
    #[arg(long)]
    pub(crate) kernel: bool,
    /// How to print
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}
