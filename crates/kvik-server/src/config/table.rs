//! The table: one row per directive, grouped as the documentation prints them.
//!
//! Names, ranges and defaults are those of Redis 7.2 and Valkey 9, so that a redis.conf means here
//! what it means there. To add a directive, add a row; the flag, the environment variable, both
//! file syntaxes, CONFIG GET, SET and REWRITE and the documentation follow from it. Where commands
//! obey the directive, the row says with `sets` which of their settings its value becomes: at the
//! start and with every CONFIG SET.

use std::sync::atomic::Ordering::Relaxed;

use kvik_command::namespace_quotas::{policy_named, read_quotas};
use kvik_command::persistence::FsyncPolicy;
use kvik_command::{EvictionPolicy, Settings};

use super::row::Kind::{
    AutoOr, BufferLimits, Dir, Doors, Events, Flags, HostPort, Integers, MemoryOrPercent, Octal,
    Pairs, Percentiles, Save, Words,
};
use super::row::{Current, Row, choice, int, memory, row, text, yes_no};
use super::value::{
    a_host, a_part, no_contradiction, part_ppm, plain_file_name, refuse_acl, refuse_renames,
    well_formed_quotas,
};

const MB: i64 = 1 << 20;
const INT_MAX: i64 = i32::MAX as i64;
const INT_MIN: i64 = i32::MIN as i64;
const UINT_MAX: i64 = u32::MAX as i64;
const MAX: i64 = i64::MAX;

const NO_REPLICATION: &str = "replication is not built yet";
const NO_CLUSTER: &str =
    "the nodes are ports of one process; what concerns several is not built yet";
const NO_TLS: &str = "TLS is not built yet";
const NO_ACL: &str = "ACL users are not built yet";
const NO_BACKGROUND_FREE: &str = "memory is freed where it is released so far";
const NO_LIST_COMPRESSION: &str = "the nodes of lists are not compressed";
const NO_DEFRAG: &str = "kvik's storage does not fragment the allocator";
const NO_FORK: &str = "kvik saves without a child process";
const TIMED_EXPIRY: &str = "keys expire by a timing structure, not by periodic sampling";
const SMOOTH_GROWTH: &str = "tables grow in small steps without a rehashing task";
const OWN_THREADS: &str = "kvik runs commands on all its I/O threads; see threads";
const FOREGROUND: &str = "kvik stays in the foreground; let a service manager run it";
const NO_SYSLOG: &str = "kvik logs to standard output or a file";
const NO_PINNING: &str = "kvik does not pin threads to processors";
const NO_MODULES: &str = "kvik loads no modules";
const SHARED_WHEN_LOADED: &str =
    "hash-min-template-entries says it of every hash, wherever it comes from";
const NOT_NEEDED: &str = "kvik has no use for it";

macro_rules! table {
    ($($group:literal { $($key:ident = $row:expr, $about:literal;)* })*) => {
        /// Names a row of the table: `config.int(Key::Port)`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Key { $($(#[doc = $about] $key,)*)* }

        impl Key {
            /// Every key, in the table's order.
            pub const ALL: &'static [Self] = &[$($(Self::$key,)*)*];

            /// The key's row.
            #[must_use]
            pub fn row(self) -> &'static Row {
                &ROWS[self as usize]
            }
        }

        static ROWS: [Row; Key::ALL.len()] = [$($($row.about($about),)*)*];

        /// The documentation's headings with their keys.
        pub(super) const GROUPS: &[(&str, &[Key])] = &[$(($group, &[$(Key::$key,)*]),)*];
    };
}

table! {
"Network" {
    Bind = row("bind", Words, "* -::*"), "Addresses to listen on; `*` is every IPv4 and `::*` every IPv6 address, a leading `-` lets an address be absent.";
    Port = int("port", "6379", 0, 65535), "TCP port; 0 listens on none.";
    YieldPort = yes_no("yield-port", "no").fixed(), "Start without those addresses of `bind` and `port` that another process has, as long as there are others.";
    Listen = row("listen", Doors, "").fixed(), "Further addresses to listen on, with what is spoken there: `resp://host:port`, `neks://host:port/database`, `resp+unix:///path?db=1`. They also serve clients of other machines, unless `protected-mode` is set or a password is asked for.";
    NeksMaxFrame = memory("neks-max-frame", "999999", 16, 1 << 30), "Longest request frame of a Neks client; a longer one ends the connection.";
    DoorMaxReply = memory("door-max-reply", "64mb", 1024, 1 << 32), "Longest reply that is gathered as a whole before it is sent, as those of Neks are; a longer one ends the connection.";
    KibaDatabases = row("kiba-databases", Integers(4, 0, INT_MAX), "0 1 2 3").fixed(), "Databases of the strings, lists, sets and hashes of Kiba clients, counted from that of the door.";
    Import = row("import", Words, "").fixed(), "Data of other servers that are imported at the start, as long as there are no own files: `neks:store.kvs`, `nkv:directory`, `kevy:directory`; `nkv:` and `kevy:` alone are the directory of the data files.";
    NeksLenient = yes_no("neks-lenient", "no"), "Neks clients may also send keys as text and numbers as unsigned, as most MessagePack libraries do.";
    Unixsocket = text("unixsocket", "").fixed(), "Path of a Unix socket to listen on as well.";
    Unixsocketperm = row("unixsocketperm", Octal(0o777), "0").fixed(), "Mode of the Unix socket; 0 leaves what the umask gives.";
    Unixsocketgroup = text("unixsocketgroup", "").fixed(), "Group of the Unix socket, by name or number; empty leaves that of the process.";
    TcpBacklog = int("tcp-backlog", "511", 0, INT_MAX).fixed(), "Connections the kernel keeps waiting to be accepted.";
    TcpKeepalive = int("tcp-keepalive", "300", 0, INT_MAX), "Seconds of silence before TCP probes a peer; 0 never does.";
    Timeout = int("timeout", "0", 0, INT_MAX), "Seconds after which an idle client is disconnected; 0 never.";
    Maxclients = int("maxclients", "10000", 1, UINT_MAX), "Clients that may be connected at once.";
    ProtectedMode = yes_no("protected-mode", "yes"), "Serve only local clients while there is no password.";
    ProtoMaxBulkLen = memory("proto-max-bulk-len", "512mb", MB, MAX).sets(|to, it| to.max_bulk_bytes.store(it.number(), Relaxed)), "Longest argument a client may send.";
    RequestMaxArgs = int("request-max-args", "2147483647", 1, INT_MAX), "Most words of a request; one with more is answered by an error, and the connection ends.";
    RequestMaxBulkLen = memory("request-max-bulk-len", "0", 0, MAX), "Longest word of a request, where it is to be shorter than `proto-max-bulk-len`, which limits strings as well; a longer one is answered by an error, and the connection ends. 0 adds no limit.";
    RequestMaxInlineLen = memory("request-max-inline-len", "64kb", 64, 1 << 30), "Longest line of a request: a command that is typed as text, or the header of a word; a longer one is answered by an error, and the connection ends.";
    ClientQueryBufferLimit = memory("client-query-buffer-limit", "1gb", MB, MAX), "Longest command a client may send.";
    ClientOutputBufferLimit = row("client-output-buffer-limit", BufferLimits, "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60"), "Per client class: replies waiting to be read beyond `hard`, or beyond `soft` for so many seconds, end the connection.";
    MaxmemoryClients = row("maxmemory-clients", MemoryOrPercent, "0"), "Memory all clients may take together, in bytes or in percent of maxmemory; those that take the most are disconnected, 0 disconnects none.";
    MetricsPort = int("metrics-port", "0", 0, 65535).fixed(), "Port of the page with metrics, `/health` and `/ready` over HTTP; 0 serves none.";
    MetricsBind = text("metrics-bind", "127.0.0.1").fixed(), "IP address of that page. It asks for no password.";
    BindSourceAddr = text("bind-source-addr", "").pending(NO_REPLICATION), "Source address of outgoing connections.";
    SocketMarkId = int("socket-mark-id", "0", 0, UINT_MAX).fixed().ignored(NOT_NEEDED), "Mark set on listening sockets.";
    MaxNewConnectionsPerCycle = int("max-new-connections-per-cycle", "10", 1, 1000).ignored("accepting never holds up other clients"), "Connections accepted at a time.";
    MaxNewTlsConnectionsPerCycle = int("max-new-tls-connections-per-cycle", "1", 1, 1000).ignored("accepting never holds up other clients"), "TLS connections accepted at a time.";
    Mptcp = yes_no("mptcp", "no").fixed().pending("connections use plain TCP"), "Listen with multipath TCP.";
    ReplMptcp = yes_no("repl-mptcp", "no").pending(NO_REPLICATION), "Use multipath TCP towards the primary.";
    RdmaPort = int("rdma-port", "0", 0, 65535).ignored("kvik does not speak RDMA"), "RDMA port.";
    RdmaBind = row("rdma-bind", Words, "").ignored("kvik does not speak RDMA"), "RDMA addresses.";
    RdmaRxSize = memory("rdma-rx-size", "1mb", 64 << 10, 16 * MB).fixed().ignored("kvik does not speak RDMA"), "RDMA receive buffer.";
    RdmaCompletionVector = int("rdma-completion-vector", "-1", -1, 1024).fixed().ignored("kvik does not speak RDMA"), "RDMA completion vector.";
}
"Threads and I/O" {
    Threads = row("threads", AutoOr(1024), "auto").fixed(), "I/O threads, each of which runs commands; `auto` is one per processor, awake only as needed.";
    Io = choice("io", "auto", &["auto", "mio", "uring"]).fixed(), "How sockets are served: `uring` by io_uring, `mio` by epoll or kqueue, `auto` by the better one that works here.";
    IoThreads = int("io-threads", "1", 1, 128).fixed().ignored(OWN_THREADS), "I/O threads of Redis.";
    IoThreadsDoReads = yes_no("io-threads-do-reads", "no").fixed().ignored(OWN_THREADS), "Whether those threads also read.";
    EventsPerIoThread = int("events-per-io-thread", "2", 0, INT_MAX).ignored(OWN_THREADS), "Events per I/O thread of Valkey.";
    PrefetchBatchMaxSize = int("prefetch-batch-max-size", "16", 0, 128).ignored("a pipeline is always prefetched as a whole"), "Keys prefetched at a time.";
    ServerCpulist = text("server-cpulist", "").alias("server_cpulist").fixed().ignored(NO_PINNING), "Processors of the server's threads.";
    BioCpulist = text("bio-cpulist", "").alias("bio_cpulist").fixed().ignored(NO_PINNING), "Processors of background threads.";
    AofRewriteCpulist = text("aof-rewrite-cpulist", "").alias("aof_rewrite_cpulist").fixed().ignored(NO_FORK), "Processors of the log rewriting child.";
    BgsaveCpulist = text("bgsave-cpulist", "").alias("bgsave_cpulist").fixed().ignored(NO_FORK), "Processors of the saving child.";
}
"General" {
    Include = row("include", Words, "").file_only(), "Reads more files in its place; the last part of a path may be a pattern.";
    Databases = int("databases", "16", 1, INT_MAX).fixed().sets(|to, it| to.databases.store(it.number(), Relaxed)), "Numbered databases.";
    Namespaces = choice("namespaces", "no", &["no", "auto"]).fixed(), "With `auto` a key `ns/rest` belongs to the namespace `ns`, and one without a `/` to `default`; otherwise a `/` means nothing.";
    NamespaceQuotas = text("namespace-quotas", "").check(well_formed_quotas).sets(|to, it| to.namespace_quotas.replace(read_quotas(&it.text()).unwrap_or_default())), "Limits and policies of namespaces: `name:keys=n,bytes=n,ops=n,clients=n,policy=p`, several apart from each other by blanks. NAMESPACE SETQUOTA and NAMESPACE POLICY change them.";
    NamespacePolicy = choice("namespace-policy", "inherit", &["inherit", "none", "lfu|lru", "mfu|mru", "ear|expire_after_read|expireafterread"]).sets(|to, it| to.namespace_quotas.set_policy_of_others(policy_named(it.choice().as_bytes()).unwrap_or_default())), "What makes room in a namespace that has no policy of its own: `inherit` as `maxmemory-policy` says, `none` nothing, `lfu` the keys with the fewest hits, `mfu` those with the most; with `ear` keys that were read are deleted within a second.";
    MaxNamespaces = int("max-namespaces", "65536", 0, 1 << 20).sets(|to, it| to.max_namespaces.store(it.number(), Relaxed)), "Namespaces that clients may make beside `default`.";
    Daemonize = yes_no("daemonize", "no").fixed().ignored(FOREGROUND), "Detach from the terminal.";
    Supervised = choice("supervised", "no", &["no", "upstart", "systemd", "auto"]).fixed(), "With `systemd` and `auto` systemd is told when clients are served and when the server ends, where `NOTIFY_SOCKET` is set: a unit of `Type=notify` wants that. The others tell nobody.";
    Pidfile = text("pidfile", "").fixed(), "File that holds the process id while the server runs.";
    Loglevel = choice("loglevel", "notice", &["debug", "verbose", "notice", "warning", "nothing"]), "Least severity that is logged.";
    Logfile = text("logfile", "").fixed(), "File the log is appended to; empty is standard output.";
    LogFormat = choice("log-format", "text", &["text|legacy", "json", "logfmt"]), "How a log line is written.";
    LogTimestampFormat = choice("log-timestamp-format", "legacy", &["legacy", "iso8601", "milliseconds"]).ignored("log lines carry RFC 3339 times"), "How a log line's time is written.";
    HideUserDataFromLog = yes_no("hide-user-data-from-log", "yes").ignored("the log never holds keys or values"), "Keep keys and values out of the log.";
    AlwaysShowLogo = yes_no("always-show-logo", "no").fixed().ignored("the start banner is always printed").holds("yes"), "Print the start banner when logging to a file as well.";
    SetProcTitle = yes_no("set-proc-title", "yes").fixed().ignored("the process keeps its command line"), "Show the server's state as the process title.";
    ProcTitleTemplate = text("proc-title-template", "{title} {listen-addr} {server-mode}").ignored("the process keeps its command line"), "The process title.";
    SyslogEnabled = yes_no("syslog-enabled", "no").fixed().ignored(NO_SYSLOG), "Log to syslog.";
    SyslogIdent = text("syslog-ident", "kvik").fixed().ignored(NO_SYSLOG), "Name used in syslog.";
    SyslogFacility = choice("syslog-facility", "local0", &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]).fixed().ignored(NO_SYSLOG), "Facility used in syslog.";
    CrashLogEnabled = yes_no("crash-log-enabled", "yes").ignored("a panic prints its backtrace"), "Report on a crash.";
    CrashMemcheckEnabled = yes_no("crash-memcheck-enabled", "yes").ignored(NOT_NEEDED), "Test memory after a crash.";
    DisableThp = yes_no("disable-thp", "yes").fixed().ignored("huge pages do not hurt a server that never forks"), "Turn transparent huge pages off.";
    OomScoreAdj = choice("oom-score-adj", "no", &["no", "yes|relative", "absolute"]).pending("the kernel's score is left alone"), "Adjust the kernel's out-of-memory score.";
    OomScoreAdjValues = row("oom-score-adj-values", Integers(3, -2000, 2000), "0 200 800").pending("the kernel's score is left alone"), "The scores for primary, replica and child.";
    ShutdownTimeout = int("shutdown-timeout", "10", 0, INT_MAX).pending(NO_REPLICATION), "Seconds a shutdown waits for lagging replicas.";
    ShutdownOnSigint = row("shutdown-on-sigint", Flags(SHUTDOWN), "default").check(no_contradiction), "What SIGINT does with the data.";
    ShutdownOnSigterm = row("shutdown-on-sigterm", Flags(SHUTDOWN), "default").check(no_contradiction), "What SIGTERM does with the data.";
    Hz = int("hz", "10", 0, INT_MAX).ignored(TIMED_EXPIRY), "Rate of periodic tasks.";
    DynamicHz = yes_no("dynamic-hz", "yes").ignored(TIMED_EXPIRY), "Raise that rate with the number of clients.";
    IgnoreWarnings = text("ignore-warnings", "").ignored("no start warning stops the server"), "Start warnings to pass over.";
    LocaleCollate = text("locale-collate", "").ignored("strings compare byte by byte"), "Locale of SORT ALPHA.";
    HashSeed = text("hash-seed", "").fixed().ignored("keys are hashed with a random seed of the process"), "Seed of the key hash.";
    AvailabilityZone = text("availability-zone", "").sets(|to, it| *to.availability_zone.write() = it.text()), "Zone that clients may prefer; HELLO and INFO show it.";
    ExtendedRedisCompatibility = yes_no("extended-redis-compatibility", "no").ignored("replies are Redis' always"), "Pose as Redis where Valkey would not.";
}
"Security" {
    Requirepass = text("requirepass", "").secret().sets(|to, it| *to.password.write() = it.bytes()), "Password of the default user; empty asks for none.";
    EnableProtectedConfigs = choice("enable-protected-configs", "no", PROTECTED_ACTION).fixed(), "Who may CONFIG SET `dir` and `dbfilename`: nobody, everybody or local clients.";
    EnableDebugCommand = choice("enable-debug-command", "no", PROTECTED_ACTION).fixed().sets(allow_debug), "Who may use DEBUG.";
    EnableModuleCommand = choice("enable-module-command", "no", PROTECTED_ACTION).fixed().ignored(NO_MODULES), "Who may use MODULE.";
    RenameCommand = row("rename-command", Pairs, "").file_only().check(refuse_renames).pending("commands keep their names"), "Gives a command another name, or with an empty name removes it.";
    User = row("user", Words, "").file_only().check(refuse_acl).pending(NO_ACL), "Defines an ACL user.";
    Aclfile = text("aclfile", "").fixed().check(refuse_acl).pending(NO_ACL), "File that defines the ACL users.";
    AcllogMaxLen = int("acllog-max-len", "128", 0, MAX).pending(NO_ACL), "Entries ACL LOG keeps.";
    AclPubsubDefault = choice("acl-pubsub-default", "resetchannels", &["allchannels", "resetchannels"]).pending(NO_ACL), "Channels a new user may use.";
    SanitizeDumpPayload = choice("sanitize-dump-payload", "no", &["no", "yes", "clients"]).ignored("every RESTORE payload is checked"), "Check RESTORE payloads in depth.";
}
"Memory" {
    Maxmemory = memory("maxmemory", "0", 0, MAX).sets(|to, it| to.maxmemory.store(it.number(), Relaxed)), "Bytes that data and the buffers of clients may take; 0 is no limit.";
    MaxmemoryPayload = memory("maxmemory-payload", "0", 0, MAX).sets(|to, it| to.maxmemory_payload.store(it.number(), Relaxed)), "Bytes that names of namespaces, names of keys and values may have together, without what the store adds to them, where there are namespaces; 0 is no limit.";
    EvictionThreshold = text("eviction-threshold", "1.0").check(a_part).sets(|to, it| to.eviction_threshold_ppm.store(part_ppm(&it.text()).unwrap_or(1_000_000), Relaxed)), "The part of both limits up to which eviction lets them be used, above 0 and at most 1. Writes are refused beyond the whole limit only.";
    MaxmemoryPolicy = choice("maxmemory-policy", "noeviction", POLICIES).sets(|to, it| to.set_eviction_policy(EvictionPolicy::named(it.choice()).unwrap_or_default())), "What makes room at that limit: `lru` the longest unused keys, `lfu` the least used, `lrm` the longest unchanged, `ttl` the first to expire, `s3fifo` those that the algorithm of this name chooses.";
    MaxmemorySamples = int("maxmemory-samples", "5", 1, INT_MAX).sets(|to, it| to.eviction_samples.store(it.number(), Relaxed)), "Keys compared per eviction, 64 at most.";
    MaxmemoryEvictionTenacity = int("maxmemory-eviction-tenacity", "10", 0, 100).sets(|to, it| to.eviction_tenacity.store(it.number(), Relaxed)), "How long a thread makes room before it serves others: up to 10, 50 microseconds each.";
    LfuLogFactor = int("lfu-log-factor", "10", 0, INT_MAX).sets(|to, it| to.lfu_log_factor.store(it.number(), Relaxed)), "How slowly the access frequency counter saturates.";
    LfuDecayTime = int("lfu-decay-time", "1", 0, INT_MAX).sets(|to, it| to.lfu_decay_minutes.store(it.number(), Relaxed)), "Minutes after which the access frequency counter decays.";
    LazyfreeLazyEviction = yes_no("lazyfree-lazy-eviction", "yes").ignored(NO_BACKGROUND_FREE).holds("no"), "Free evicted values in the background.";
    LazyfreeLazyExpire = yes_no("lazyfree-lazy-expire", "yes").ignored(NO_BACKGROUND_FREE).holds("no"), "Free expired values in the background.";
    LazyfreeLazyServerDel = yes_no("lazyfree-lazy-server-del", "yes").ignored(NO_BACKGROUND_FREE).holds("no"), "Free overwritten values in the background.";
    LazyfreeLazyUserDel = yes_no("lazyfree-lazy-user-del", "yes").ignored(NO_BACKGROUND_FREE).holds("no"), "Let DEL behave as UNLINK.";
    LazyfreeLazyUserFlush = yes_no("lazyfree-lazy-user-flush", "yes").ignored(NO_BACKGROUND_FREE).holds("no"), "Let FLUSHALL without an argument be ASYNC.";
    ActiveExpireEffort = int("active-expire-effort", "1", 1, 10).ignored(TIMED_EXPIRY), "Effort spent on finding expired keys.";
    Activerehashing = yes_no("activerehashing", "yes").ignored(SMOOTH_GROWTH), "Rehash tables in idle time.";
    Activedefrag = yes_no("activedefrag", "no").unavailable("Active defragmentation cannot be enabled: kvik's storage does not fragment the allocator"), "Move values to fill holes in memory.";
    ActiveDefragCycleMin = int("active-defrag-cycle-min", "1", 1, 99).ignored(NO_DEFRAG), "Least effort of defragmentation.";
    ActiveDefragCycleMax = int("active-defrag-cycle-max", "25", 1, 99).ignored(NO_DEFRAG), "Greatest effort of defragmentation.";
    ActiveDefragCycleUs = int("active-defrag-cycle-us", "500", 0, 100_000).ignored(NO_DEFRAG), "Length of a step of defragmentation.";
    ActiveDefragThresholdLower = int("active-defrag-threshold-lower", "10", 0, 1000).ignored(NO_DEFRAG), "Percentage that starts defragmentation.";
    ActiveDefragThresholdUpper = int("active-defrag-threshold-upper", "100", 0, 1000).ignored(NO_DEFRAG), "Percentage that needs the greatest effort.";
    ActiveDefragIgnoreBytes = memory("active-defrag-ignore-bytes", "100mb", 1, MAX).ignored(NO_DEFRAG), "Waste that is left alone.";
    ActiveDefragMaxScanFields = int("active-defrag-max-scan-fields", "1000", 1, MAX).ignored(NO_DEFRAG), "Elements moved in one step.";
    JemallocBgThread = yes_no("jemalloc-bg-thread", "yes").ignored("kvik does not use jemalloc"), "Let jemalloc purge in the background.";
}
"Persistence" {
    Memory = yes_no("memory", "no").fixed().sets(|to, it| to.files.loads.store(!it.is_on(), Relaxed)), "Load nothing and keep nothing, unless `appendonly` or `save` ask for a log or for snapshots.";
    Dir = row("dir", Dir, "kvik-data").protected().sets(|to, it| to.files.names.write().dir = it.path()), "Directory of the data files. The default lies in the working directory and is created.";
    Save = row("save", Save, "3600 1 300 100 60 10000").sets(|to, it| *to.files.save_rules.write() = it.save_rules()), "Snapshot after so many seconds if so many keys changed; `\"\"` never. Who sets it, and not `appendonly`, gets no log, as from Redis.";
    Dbfilename = text("dbfilename", "dump.rdb").protected().check(plain_file_name).sets(|to, it| to.files.names.write().snapshot = it.text()), "File name of the snapshot.";
    Appendonly = yes_no("appendonly", "yes").sets(|to, it| to.files.log.store(it.is_on(), Relaxed)), "Log every write.";
    Appendfsync = choice("appendfsync", "everysec", &["everysec", "always", "no"]).sets(|to, it| to.files.set_fsync(fsync_policy(it))), "When the log is forced to disk: before a write is acknowledged, once a second, or when the system likes.";
    Appendfilename = text("appendfilename", "appendonly.aof").fixed().check(plain_file_name).sets(|to, it| to.files.names.write().log_stem = it.text()), "Stem of the log's file names.";
    Appenddirname = text("appenddirname", "appendonlydir").fixed().check(plain_file_name).sets(|to, it| to.files.names.write().log_dir = it.text()), "Directory of the log within `dir`.";
    NoAppendfsyncOnRewrite = yes_no("no-appendfsync-on-rewrite", "no").ignored("a rewrite never holds the log up, which is forced to disk meanwhile as ever"), "Do not force the log to disk while it is rewritten.";
    AutoAofRewritePercentage = int("auto-aof-rewrite-percentage", "100", 0, INT_MAX).sets(|to, it| to.files.rewrite_percent.store(it.number(), Relaxed)), "Growth in percent that starts a rewrite of the log; 0 is never.";
    AutoAofRewriteMinSize = memory("auto-aof-rewrite-min-size", "64mb", 0, MAX).sets(|to, it| to.files.rewrite_min_bytes.store(it.number(), Relaxed)), "Size below which the log is not rewritten.";
    AofLoadTruncated = yes_no("aof-load-truncated", "yes").sets(|to, it| to.files.load_truncated.store(it.is_on(), Relaxed)), "Start although the log's end is torn.";
    AofUseRdbPreamble = yes_no("aof-use-rdb-preamble", "yes").ignored("a rewritten log always begins with a snapshot"), "Begin a rewritten log with a snapshot.";
    AofTimestampEnabled = yes_no("aof-timestamp-enabled", "no").sets(|to, it| to.files.timestamps.store(it.is_on(), Relaxed)), "Note times in the log. Where superseded files are kept they are always noted.";
    AofRewriteIncrementalFsync = yes_no("aof-rewrite-incremental-fsync", "yes").ignored("a rewritten log is forced to disk by a thread that serves nobody"), "Force a rewritten log to disk bit by bit.";
    AofDisableAutoGc = yes_no("aof-disable-auto-gc", "no").ignored("log-retention-bytes keeps superseded files"), "Keep log files that are no longer needed.";
    LogRetentionBytes = memory("log-retention-bytes", "0", 0, MAX).sets(|to, it| to.files.retention_bytes.store(it.number(), Relaxed)), "Bytes of superseded log files that are kept, to restore an earlier state; 0 keeps none.";
    LogRetentionAge = int("log-retention-age", "0", 0, MAX).sets(|to, it| to.files.retention_age_s.store(it.number(), Relaxed)), "Seconds for which they are kept; 0 is no limit.";
    BackupDir = text("backup-dir", "").fixed().sets(|to, it| to.files.names.write().backup_dir = it.path_if_any()), "Directory below which BACKUP may write; empty is nowhere.";
    SnapshotBufferLimit = memory("snapshot-buffer-limit", "16mb", MB, MAX).sets(|to, it| to.files.image_bytes.store(it.number(), Relaxed)), "Bytes of changed keys that may wait for a snapshot to write them before writes are put off.";
    RdbKeySaveDelay = int("rdb-key-save-delay", "0", 0, INT_MAX).sets(|to, it| to.files.image_delay_us.store(it.number(), Relaxed)), "Microseconds that a snapshot waits for each key it has written, for tests that want to find one in progress.";
    StopWritesOnBgsaveError = yes_no("stop-writes-on-bgsave-error", "yes").sets(|to, it| to.files.stop_writes.store(it.is_on(), Relaxed)), "Refuse writes after a failed snapshot.";
    Rdbcompression = yes_no("rdbcompression", "yes").sets(|to, it| to.rdb_compression.store(it.is_on(), Relaxed)), "Compress strings in snapshots and in what `DUMP` returns.";
    Rdbchecksum = yes_no("rdbchecksum", "yes").fixed().sets(|to, it| to.files.checksum.store(it.is_on(), Relaxed)), "End snapshots with a checksum, and verify it.";
    RdbVersionCheck = choice("rdb-version-check", "strict", &["strict", "relaxed"]).ignored("a snapshot is refused for what is unknown in it, not for its version"), "Whether to load snapshots of unknown versions.";
    RdbDelSyncFiles = yes_no("rdb-del-sync-files", "no").pending(NO_REPLICATION), "Remove snapshots made for replicas.";
    RdbSaveIncrementalFsync = yes_no("rdb-save-incremental-fsync", "yes").ignored("a snapshot is forced to disk by a thread that serves nobody"), "Force snapshots to disk bit by bit.";
}
"Commands and monitoring" {
    SlowlogLogSlowerThan = int("slowlog-log-slower-than", "10000", -1, MAX).alias("commandlog-execution-slower-than").sets(|to, it| to.slowlog_slower_than_us.store(it.signed(), Relaxed)), "Microseconds from which a command enters the slow log; 0 all, -1 none.";
    SlowlogCpuTime = yes_no("slowlog-cpu-time", "no").sets(|to, it| to.slowlog_cpu_time.store(it.is_on(), Relaxed)), "Have SLOWLOG GET tell the processor time of commands; measuring it costs some 0.3 us for each one that is timed.";
    SlowlogMaxLen = int("slowlog-max-len", "128", 0, MAX).alias("commandlog-slow-execution-max-len").sets(|to, it| to.slowlog_max_len.store(it.number(), Relaxed)), "Entries the slow log keeps.";
    CommandlogRequestLargerThan = int("commandlog-request-larger-than", "1048576", -1, MAX).sets(|to, it| to.log_requests_from_bytes.store(it.signed(), Relaxed)), "Bytes from which a request is logged.";
    CommandlogLargeRequestMaxLen = int("commandlog-large-request-max-len", "128", 0, MAX).sets(|to, it| to.large_requests_max_len.store(it.number(), Relaxed)), "Large requests kept.";
    CommandlogReplyLargerThan = int("commandlog-reply-larger-than", "1048576", -1, MAX).sets(|to, it| to.log_replies_from_bytes.store(it.signed(), Relaxed)), "Bytes from which a reply is logged.";
    CommandlogLargeReplyMaxLen = int("commandlog-large-reply-max-len", "128", 0, MAX).sets(|to, it| to.large_replies_max_len.store(it.number(), Relaxed)), "Large replies kept.";
    LatencyMonitorThreshold = int("latency-monitor-threshold", "0", 0, MAX).sets(|to, it| to.latency_threshold_ms.store(it.number(), Relaxed)), "Milliseconds from which LATENCY records an event; 0 none.";
    StatsPrefixes = row("stats-prefixes", Words, "").sets(set_stats_prefixes), "Prefixes of keys for which `STATS PREFIX` counts; a key counts for the longest that it begins with.";
    LatencyTracking = yes_no("latency-tracking", "yes").sets(|to, it| to.latency_tracking.store(it.is_on(), Relaxed)), "Keep a latency histogram per command.";
    LatencyTrackingInfoPercentiles = row("latency-tracking-info-percentiles", Percentiles, "50 99 99.9"), "Percentiles INFO shows of it.";
    NotifyKeyspaceEvents = row("notify-keyspace-events", Events, "").sets(|to, it| to.notify_of(it.events())), "Classes of keyspace events to publish.";
    TrackingTableMaxKeys = int("tracking-table-max-keys", "1000000", 0, MAX).sets(|to, it| to.tracking_table_max_keys.store(it.number(), Relaxed)), "Keys remembered for client side caches.";
    LongCommandElements = int("long-command-elements", "10000", 1, MAX).sets(|to, it| to.long_elements.store(it.number(), Relaxed)), "Elements from which on a command is done in slices, while others are served.";
    LongReplyPatience = int("long-reply-patience", "15000", 0, MAX).sets(|to, it| to.slow_reader_ms.store(it.number(), Relaxed)), "Milliseconds for which others wait for a key whose long reply is being read slowly, before the rest of the reply is written to memory.";
    CommandTimeLimit = int("command-time-limit", "0", 0, MAX).sets(|to, it| to.time_limit_ms.store(it.number(), Relaxed)), "Milliseconds for which a command may run in slices before it has changed anything; 0 is no limit.";
    BusyReplyThreshold = int("busy-reply-threshold", "5000", 0, MAX).alias("lua-time-limit").sets(|to, it| to.busy_reply_ms.store(it.number(), Relaxed)), "Milliseconds after which other clients learn that a script is running.";
    BusyReplyScope = choice("busy-reply-scope", "keys", &["keys", "all"]).sets(|to, it| to.busy_reply_to_all.store(it.choice() == "all", Relaxed)), "Which commands are refused then: those that need keys of the script, or `all` that Redis refuses, `PING` among them.";
    ImportMode = yes_no("import-mode", "no").sets(|to, it| to.import_mode.store(it.is_on(), Relaxed)), "The data of another server is being imported: keys are neither evicted nor deleted when their time has come, but by a client's write. Reads hide them, but from connections that have said `CLIENT IMPORT-SOURCE ON`.";
}
"Encodings" {
    HashMaxListpackEntries = int("hash-max-listpack-entries", "512", 0, MAX).alias("hash-max-ziplist-entries").sets(|to, it| to.limits.hash_entries.store(it.signed(), Relaxed)), "Fields up to which a hash is packed.";
    HashMaxListpackValue = memory("hash-max-listpack-value", "64", 0, MAX).alias("hash-max-ziplist-value").sets(|to, it| to.limits.hash_value_bytes.store(it.signed(), Relaxed)), "Bytes per value up to which a hash is packed.";
    HashMinTemplateEntries = int("hash-min-template-entries", "2", 0, MAX).sets(|to, it| to.limits.hash_shared_min.store(it.signed(), Relaxed)), "Fewest fields whose names packed hashes that come whole store once; 0: none.";
    HashMaxTemplateEntries = int("hash-max-template-entries", "0", 0, MAX).sets(|to, it| to.limits.hash_shared_max.store(it.signed(), Relaxed)), "Most fields whose names packed hashes store once; 0 is no limit.";
    HashRdbLoadMinTemplateEntries = int("hash-rdb-load-min-template-entries", "0", 0, MAX).ignored(SHARED_WHEN_LOADED), "Fewest fields whose names hashes of a file store once.";
    HashRdbLoadMaxTemplateEntries = int("hash-rdb-load-max-template-entries", "0", 0, MAX).ignored(SHARED_WHEN_LOADED), "Most of them.";
    HashRdbLoadTemplateDisassemblyThreshold = int("hash-rdb-load-template-disassembly-threshold", "0", 0, MAX).ignored(SHARED_WHEN_LOADED), "Fewest hashes of a file that store their names once.";
    ListMaxListpackSize = int("list-max-listpack-size", "-2", INT_MIN, INT_MAX).alias("list-max-ziplist-size").sets(|to, it| to.limits.list_size.store(it.signed(), Relaxed)), "Size of a list's nodes: elements, or -1 to -5 for 4 to 64 KiB.";
    ListCompressDepth = int("list-compress-depth", "0", 0, INT_MAX).ignored(NO_LIST_COMPRESSION), "Nodes at each end of a list that stay uncompressed; 0 compresses none.";
    SetMaxIntsetEntries = int("set-max-intset-entries", "512", 0, MAX).sets(|to, it| to.limits.set_ints.store(it.signed(), Relaxed)), "Integers up to which a set is an array of integers.";
    SetMaxListpackEntries = int("set-max-listpack-entries", "128", 0, MAX).sets(|to, it| to.limits.set_entries.store(it.signed(), Relaxed)), "Members up to which a set is packed.";
    SetMaxListpackValue = memory("set-max-listpack-value", "64", 0, MAX).sets(|to, it| to.limits.set_value_bytes.store(it.signed(), Relaxed)), "Bytes per member up to which a set is packed.";
    ZsetMaxListpackEntries = int("zset-max-listpack-entries", "128", 0, MAX).alias("zset-max-ziplist-entries").sets(|to, it| to.limits.zset_entries.store(it.signed(), Relaxed)), "Members up to which a sorted set is packed.";
    ZsetMaxListpackValue = memory("zset-max-listpack-value", "64", 0, MAX).alias("zset-max-ziplist-value").sets(|to, it| to.limits.zset_value_bytes.store(it.signed(), Relaxed)), "Bytes per member up to which a sorted set is packed.";
    HllSparseMaxBytes = memory("hll-sparse-max-bytes", "3000", 0, MAX).sets(|to, it| to.hll_sparse_max_bytes.store(it.number(), Relaxed)), "Bytes up to which a HyperLogLog is sparse.";
    StreamNodeMaxBytes = memory("stream-node-max-bytes", "4096", 0, MAX).sets(|to, it| to.limits.stream_node_bytes.store(it.signed(), Relaxed)), "Bytes of a stream's nodes.";
    StreamNodeMaxEntries = int("stream-node-max-entries", "100", 0, MAX).sets(|to, it| to.limits.stream_node_entries.store(it.signed(), Relaxed)), "Entries of a stream's nodes.";
    StreamIdmpDuration = int("stream-idmp-duration", "100", 1, 86_400).sets(|to, it| to.limits.stream_idempotence_s.store(it.signed(), Relaxed)), "For how long the entries of a stream's producers are known, in seconds.";
    StreamIdmpMaxsize = int("stream-idmp-maxsize", "100", 1, 10_000).sets(|to, it| to.limits.stream_idempotence_len.store(it.signed(), Relaxed)), "How many entries of a stream's producer are known.";
}
"Replication" {
    Replicaof = row("replicaof", HostPort, "").alias("slaveof").fixed().pending(NO_REPLICATION), "The primary to follow.";
    Primaryauth = text("primaryauth", "").alias("masterauth").secret().pending(NO_REPLICATION), "Password at the primary.";
    Primaryuser = text("primaryuser", "").alias("masteruser").secret().pending(NO_REPLICATION), "User at the primary.";
    ReplicaServeStaleData = yes_no("replica-serve-stale-data", "yes").alias("slave-serve-stale-data").pending(NO_REPLICATION), "Answer while the primary is out of reach.";
    ReplicaReadOnly = yes_no("replica-read-only", "yes").alias("slave-read-only").pending(NO_REPLICATION), "Refuse writes on a replica.";
    ReplicaPriority = int("replica-priority", "100", 0, INT_MAX).alias("slave-priority").pending(NO_REPLICATION), "Preference as the next primary; 0 never.";
    ReplicaAnnounced = yes_no("replica-announced", "yes").pending(NO_REPLICATION), "Let Sentinel list this replica.";
    ReplicaAnnounceIp = text("replica-announce-ip", "").alias("slave-announce-ip").pending(NO_REPLICATION), "Address a replica reports.";
    ReplicaAnnouncePort = int("replica-announce-port", "0", 0, 65535).alias("slave-announce-port").pending(NO_REPLICATION), "Port a replica reports.";
    ReplicaIgnoreMaxmemory = yes_no("replica-ignore-maxmemory", "yes").alias("slave-ignore-maxmemory").pending(NO_REPLICATION), "Leave eviction to the primary.";
    ReplicaIgnoreDiskWriteErrors = yes_no("replica-ignore-disk-write-errors", "no").pending(NO_REPLICATION), "Go on replicating when the disk fails.";
    ReplicaLazyFlush = yes_no("replica-lazy-flush", "yes").alias("slave-lazy-flush").pending(NO_REPLICATION), "Free the old data in the background before a full synchronization.";
    ReplDisklessSync = yes_no("repl-diskless-sync", "yes").pending(NO_REPLICATION), "Send snapshots without a file.";
    ReplDisklessSyncDelay = int("repl-diskless-sync-delay", "5", 0, INT_MAX).pending(NO_REPLICATION), "Seconds to wait for more replicas first.";
    ReplDisklessSyncMaxReplicas = int("repl-diskless-sync-max-replicas", "0", 0, INT_MAX).pending(NO_REPLICATION), "Replicas that end that wait.";
    ReplDisklessLoad = choice("repl-diskless-load", "disabled", &["disabled", "on-empty-db", "swapdb", "flush-before-load"]).pending(NO_REPLICATION), "Load snapshots without a file.";
    DualChannelReplicationEnabled = yes_no("dual-channel-replication-enabled", "no").pending(NO_REPLICATION), "Send snapshot and stream over two connections.";
    ReplBacklogSize = memory("repl-backlog-size", "10mb", 1, MAX).pending(NO_REPLICATION), "Bytes of the stream kept for replicas that reconnect.";
    ReplBacklogTtl = int("repl-backlog-ttl", "3600", 0, MAX).pending(NO_REPLICATION), "Seconds it is kept without replicas.";
    ReplTimeout = int("repl-timeout", "60", 1, INT_MAX).pending(NO_REPLICATION), "Seconds of silence that end a replication link.";
    ReplPingReplicaPeriod = int("repl-ping-replica-period", "10", 1, INT_MAX).alias("repl-ping-slave-period").pending(NO_REPLICATION), "Seconds between pings to replicas.";
    ReplDisableTcpNodelay = yes_no("repl-disable-tcp-nodelay", "no").pending(NO_REPLICATION), "Trade replication delay for fewer packets.";
    MinReplicasToWrite = int("min-replicas-to-write", "0", 0, INT_MAX).alias("min-slaves-to-write").pending(NO_REPLICATION), "Connected replicas without which writes are refused.";
    MinReplicasMaxLag = int("min-replicas-max-lag", "10", 0, INT_MAX).alias("min-slaves-max-lag").pending(NO_REPLICATION), "Seconds of lag up to which a replica counts.";
    PropagationErrorBehavior = choice("propagation-error-behavior", "ignore", &["ignore", "panic", "panic-on-replicas"]).pending(NO_REPLICATION), "What a failing replicated command does.";
}
"Cluster" {
    ClusterEnabled = yes_no("cluster-enabled", "no").alias("cluster").fixed(), "Let each I/O thread be a node of a cluster, with a port of its own and a part of the hash slots; `port` serves all keys as ever. The number of threads is fixed then.";
    ClusterPortBase = int("cluster-port-base", "0", 0, 65535).fixed(), "Port of the first thread's node, and of the others one after the other; 0 for those behind `port`.";
    ClusterStrict = yes_no("cluster-strict", "no").sets(|to, it| to.cluster_strict.store(it.is_on(), Relaxed)), "At the port of a node refuse commands with keys of several slots (CROSSSLOT), which are otherwise run, atomically.";
    ClusterConfigFile = text("cluster-config-file", "nodes.conf").fixed().check(plain_file_name).pending(NO_CLUSTER), "File of the cluster's state.";
    ClusterConfigSaveBehavior = choice("cluster-config-save-behavior", "sync", &["sync", "best-effort"]).pending(NO_CLUSTER), "How that file is written.";
    ClusterDatabases = int("cluster-databases", "1", 1, INT_MAX).fixed().pending(NO_CLUSTER), "Numbered databases in cluster mode.";
    ClusterPort = int("cluster-port", "0", 0, 65535).fixed().pending(NO_CLUSTER), "Port of the cluster bus.";
    ClusterNodeTimeout = int("cluster-node-timeout", "15000", 0, MAX).pending(NO_CLUSTER), "Milliseconds after which a node counts as failed.";
    ClusterManualFailoverTimeout = int("cluster-manual-failover-timeout", "5000", 1, INT_MAX).pending(NO_CLUSTER), "Milliseconds a manual failover may take.";
    ClusterBlacklistTtl = int("cluster-blacklist-ttl", "60", 0, MAX).pending(NO_CLUSTER), "Seconds a forgotten node stays forgotten.";
    ClusterMigrationBarrier = int("cluster-migration-barrier", "1", 0, INT_MAX).pending(NO_CLUSTER), "Replicas a primary keeps.";
    ClusterAllowReplicaMigration = yes_no("cluster-allow-replica-migration", "yes").pending(NO_CLUSTER), "Let replicas move to bare primaries.";
    ClusterReplicaValidityFactor = int("cluster-replica-validity-factor", "10", 0, INT_MAX).alias("cluster-slave-validity-factor").pending(NO_CLUSTER), "How stale a replica may be to take over.";
    ClusterReplicaNoFailover = yes_no("cluster-replica-no-failover", "no").alias("cluster-slave-no-failover").pending(NO_CLUSTER), "Never take over.";
    ClusterRequireFullCoverage = yes_no("cluster-require-full-coverage", "yes").pending(NO_CLUSTER), "Refuse commands while slots are uncovered.";
    ClusterAllowReadsWhenDown = yes_no("cluster-allow-reads-when-down", "no").pending(NO_CLUSTER), "Serve reads while the cluster is down.";
    ClusterAllowPubsubshardWhenDown = yes_no("cluster-allow-pubsubshard-when-down", "yes").pending(NO_CLUSTER), "Serve sharded channels while the cluster is down.";
    ClusterLinkSendbufLimit = memory("cluster-link-sendbuf-limit", "0", 0, MAX).pending(NO_CLUSTER), "Memory of a link's send buffer.";
    ClusterPreferredEndpointType = choice("cluster-preferred-endpoint-type", "ip", &["ip", "hostname", "unknown-endpoint"]).pending(NO_CLUSTER), "What a redirection names.";
    ClusterSlotStatsEnabled = yes_no("cluster-slot-stats-enabled", "no").pending(NO_CLUSTER), "Count work per slot.";
    ClusterSlotMigrationLogMaxLen = int("cluster-slot-migration-log-max-len", "1000", 0, MAX).pending(NO_CLUSTER), "Slot migrations remembered.";
    SlotMigrationMaxFailoverReplBytes = memory("slot-migration-max-failover-repl-bytes", "0", -1, MAX).pending(NO_CLUSTER), "Bytes outstanding at which a migrated slot switches.";
    ClusterAnnounceIp = text("cluster-announce-ip", "").check(a_host).sets(|to, it| *to.cluster_announce_ip.write() = it.text()), "Host at which clients are told to find the nodes; empty for the address that they have come to.";
    ClusterAnnounceClientIpv4 = text("cluster-announce-client-ipv4", "").pending(NO_CLUSTER), "IPv4 address reported to clients.";
    ClusterAnnounceClientIpv6 = text("cluster-announce-client-ipv6", "").pending(NO_CLUSTER), "IPv6 address reported to clients.";
    ClusterAnnounceClientPort = int("cluster-announce-client-port", "0", 0, 65535).pending(NO_CLUSTER), "Port reported to clients.";
    ClusterAnnounceClientTlsPort = int("cluster-announce-client-tls-port", "0", 0, 65535).pending(NO_CLUSTER), "TLS port reported to clients.";
    ClusterAnnounceHostname = text("cluster-announce-hostname", "").pending(NO_CLUSTER), "Host name a node reports.";
    ClusterAnnounceHumanNodename = text("cluster-announce-human-nodename", "").pending(NO_CLUSTER), "Name of the node in logs.";
    ClusterAnnouncePort = int("cluster-announce-port", "0", 0, 65535).pending(NO_CLUSTER), "Port a node reports.";
    ClusterAnnounceTlsPort = int("cluster-announce-tls-port", "0", 0, 65535).pending(NO_CLUSTER), "TLS port a node reports.";
    ClusterAnnounceBusPort = int("cluster-announce-bus-port", "0", 0, 65535).pending(NO_CLUSTER), "Bus port a node reports.";
}
"TLS" {
    TlsPort = int("tls-port", "0", 0, 65535).pending(NO_TLS), "TLS port; 0 listens on none.";
    TlsCertFile = text("tls-cert-file", "").pending(NO_TLS), "Certificate.";
    TlsKeyFile = text("tls-key-file", "").pending(NO_TLS), "Its private key.";
    TlsKeyFilePass = text("tls-key-file-pass", "").secret().pending(NO_TLS), "Passphrase of that key.";
    TlsClientCertFile = text("tls-client-cert-file", "").pending(NO_TLS), "Certificate for outgoing connections.";
    TlsClientKeyFile = text("tls-client-key-file", "").pending(NO_TLS), "Its private key.";
    TlsClientKeyFilePass = text("tls-client-key-file-pass", "").secret().pending(NO_TLS), "Passphrase of that key.";
    TlsDhParamsFile = text("tls-dh-params-file", "").ignored("TLS uses elliptic curves only"), "Diffie-Hellman parameters.";
    TlsCaCertFile = text("tls-ca-cert-file", "").pending(NO_TLS), "Certificate authorities, in one file.";
    TlsCaCertDir = text("tls-ca-cert-dir", "").pending(NO_TLS), "Certificate authorities, in a directory.";
    TlsAuthClients = choice("tls-auth-clients", "yes", &["no", "yes", "optional"]).pending(NO_TLS), "Ask clients for a certificate.";
    TlsAuthClientsUser = choice("tls-auth-clients-user", "off", &["off", "cn", "uri"]).pending(NO_TLS), "Field of the certificate that names the user.";
    TlsAutoReloadInterval = int("tls-auto-reload-interval", "0", 0, INT_MAX).pending(NO_TLS), "Seconds between looks for new certificates.";
    TlsReplication = yes_no("tls-replication", "no").pending(NO_TLS), "Reach the primary over TLS.";
    TlsCluster = yes_no("tls-cluster", "no").pending(NO_TLS), "Use TLS on the cluster bus.";
    TlsProtocols = text("tls-protocols", "").pending(NO_TLS), "Versions to accept.";
    TlsCiphers = text("tls-ciphers", "").pending(NO_TLS), "Ciphers up to TLS 1.2.";
    TlsCiphersuites = text("tls-ciphersuites", "").pending(NO_TLS), "Cipher suites of TLS 1.3.";
    TlsPreferServerCiphers = yes_no("tls-prefer-server-ciphers", "no").pending(NO_TLS), "Let the server choose the cipher.";
    TlsSessionCaching = yes_no("tls-session-caching", "yes").pending(NO_TLS), "Resume sessions.";
    TlsSessionCacheSize = int("tls-session-cache-size", "20480", 0, INT_MAX).pending(NO_TLS), "Sessions kept for that.";
    TlsSessionCacheTimeout = int("tls-session-cache-timeout", "300", 0, INT_MAX).pending(NO_TLS), "Seconds they are kept.";
}
}

const POLICIES: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
    "volatile-lrm",
    "allkeys-lrm",
    "s3fifo",
];
fn set_stats_prefixes(to: &Settings, it: &Current<'_>) {
    to.count_by_prefixes(it.words().iter().cloned());
}

const SHUTDOWN: &[&str] = &["default", "save", "nosave", "now", "force"];
const PROTECTED_ACTION: &[&str] = &["no", "yes", "local"];

fn fsync_policy(it: &Current<'_>) -> FsyncPolicy {
    match it.choice() {
        "always" => FsyncPolicy::Always,
        "no" => FsyncPolicy::No,
        _ => FsyncPolicy::EverySecond,
    }
}

/// DEBUG is for clients on this machine or for all; the settings hold both.
fn allow_debug(to: &Settings, it: &Current<'_>) {
    let who = it.choice();
    to.debug_for_local.store(who != "no", Relaxed);
    to.debug_for_remote.store(who == "yes", Relaxed);
}

impl Key {
    /// The key of a directive by its name or alias, in any case, with `_` for `-` if you like.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        let same = |spelling: &str| spelled_alike(spelling.as_bytes(), name);
        Self::ALL
            .iter()
            .copied()
            .find(|key| same(key.row().name) || key.row().alias.is_some_and(same))
    }

    /// The directive's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

fn spelled_alike(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: &u8| {
        if *byte == b'_' {
            b'-'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
}
