//! Long work holds its keys and nothing else: no command but those whose row says so touches more
//! than a few thousand elements while stripes are held once, however large the values are.
//!
//! The sections are measured in elements, which only builds with debug assertions count. Every
//! command of the table that uses keys is called on large values and with many words, or is named
//! with the reason why it is not.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use kvik::{Db, Options, Outcome};
use kvik_command::declare::{Command, Locking};
use kvik_command::table;
use kvik_resp::ArgsBuf;

use crate::support::Client;

/// Elements of each large value. Far more than a section may touch, so that a walk shows.
const ELEMENTS: usize = 40_000;
/// The most that a section may touch. A slice takes up to 1,024 elements, each of which may be
/// looked for in a table and in an order, and a segment of a table may be split meanwhile.
const MOST: u64 = 12_000;
/// The same of commands that look for entries of a stream by their ids, one after the other: each
/// is looked for among the elements of a listpack, a step of which takes a few nanoseconds.
const MOST_OF_IDS: u64 = 250_000;
const BY_ID: &[&str] = &[
    "XADD",
    "XTRIM",
    "XDEL",
    "XDELEX",
    "XACKDEL",
    "XNACK",
    "XCLAIM",
    "XAUTOCLAIM",
    "XREADGROUP",
];

/// Calls on large values. `@` stands for a copy of the value of that type, which the call may
/// change; the values without it are only read.
const CALLS: &[&str] = &[
    // Keys.
    "DEL @set",
    "DEL *15000:key:#",
    "UNLINK @zset",
    "COPY @hash copy REPLACE",
    "RENAME @zset renamed",
    "RENAMENX @set renamed2",
    "MOVE @hash 1",
    "EXPIRE @set 100",
    "PEXPIRE @set 100000",
    "EXPIREAT @set 99999999999",
    "PEXPIREAT @set 99999999999999",
    "PERSIST @set",
    "TTL set",
    "PTTL set",
    "EXPIRETIME set",
    "PEXPIRETIME set",
    "TYPE set",
    "EXISTS set zset hash",
    "EXISTS *15000:key:#",
    "TOUCH set zset hash",
    "TOUCH *15000:key:#",
    "DUMP set",
    "DUMP zset",
    "DUMP hash",
    "DUMP list",
    "RESTORE restored 0 $set",
    "RESTORE restored2 0 $zset",
    "RESTORE restored3 0 $hash",
    "RESTORE restored4 0 $list",
    "RESTORE restored5 0 $stream",
    "RESTORE restored6 0 $array",
    "RESTORE @zset 0 $set REPLACE",
    "KEYS *",
    "SCAN 0 COUNT 1000000",
    "RANDOMKEY",
    "DBSIZE",
    "OBJECT ENCODING set",
    "OBJECT IDLETIME zset",
    "OBJECT REFCOUNT list",
    "MEMORY USAGE set",
    "MEMORY USAGE zset SAMPLES 0",
    "MEMORY USAGE hash",
    "MEMORY USAGE list",
    "MEMORY USAGE stream",
    "BLESS SET @set NO-EVICT",
    "BLESS GET set",
    "BLESS CLEAR @set NO-EVICT",
    "BLESS SCAN 0 NO-EVICT COUNT 1000000",
    "SORT list",
    "SORT list STORE out",
    "SORT list LIMIT 0 10 DESC",
    "SORT set ALPHA",
    "SORT list BY nosort STORE out",
    "SORT_RO zset ALPHA DESC",
    "SORT_RO list BY nosort GET #",
    // Lists.
    "LLEN list",
    "LRANGE list 0 -1",
    "LINDEX list 10000",
    "LPUSH @list a b c",
    "RPUSH @list a",
    "LPUSHX @list a",
    "RPUSHX @list a",
    "LPUSH @list *15000:e#",
    "RPUSH @list *15000:e#",
    "LPUSHX @list *15000:e#",
    "RPUSHX @list *15000:e#",
    "LPOP @list 15000",
    "RPOP @list 15000",
    "LMPOP 1 @list LEFT COUNT 15000",
    "BLMPOP 0 1 @list RIGHT COUNT 15000",
    "BLPOP @list 0",
    "BRPOP @list 0",
    "LMOVE @list out2 LEFT RIGHT",
    "BLMOVE @list out2 LEFT RIGHT 0",
    "RPOPLPUSH @list out2",
    "BRPOPLPUSH @list out2 0",
    "LMOVEM @list out6 LEFT RIGHT COUNT 15000 OBO",
    "LMOVEM @list @list LEFT RIGHT COUNT 15000 BULK",
    "BLMOVEM @list out6 RIGHT LEFT 0 COUNT 15000 BULK",
    "LSET @list 10000 x",
    "LTRIM @list 5000 15000",
    "LINSERT @list BEFORE 39999 x",
    "LINSERT @list AFTER nobody x",
    "LREM @list 0 39999",
    "LREM @list -1 1",
    "LREM @list 1 nobody",
    "LREM @same 0 x",
    "LREM @same -15000 x",
    "LPOS list nobody",
    "LPOS list nobody RANK -1",
    // Sets.
    "SADD @set a b",
    "SADD @set *15000:new#",
    "SADD fresh *15000:new#",
    "SREM @set m1 m2",
    "SREM @set *15000:m#",
    "SMOVE @set moved m3",
    "SCARD set",
    "SISMEMBER set m1",
    "SMISMEMBER set m1 m2",
    "SMISMEMBER set *15000:m#",
    "SMEMBERS set",
    "SSCAN set 0 COUNT 1000000",
    "SPOP @set 15000",
    "SRANDMEMBER set 15000",
    "SRANDMEMBER set 5000",
    "SRANDMEMBER set -15000",
    "SINTER set set2",
    "SUNION set set2",
    "SDIFF set set2",
    "SINTERSTORE out3 set set2",
    "SUNIONSTORE out3 set set2",
    "SDIFFSTORE out3 set set2",
    "SINTERCARD 2 set set2",
    "SUNIONCARD 2 set set2",
    "SDIFFCARD 2 set set2",
    "SADDEX @set 100 *15000:new#",
    "SADDEX @set MXX EX 100 MEMBERS 15000 *15000:m#",
    "EXPIREMEMBER @set m1 100",
    "EXPIREMEMBERAT @set m1 99999999999",
    "PEXPIREMEMBERAT @set m1 99999999999999",
    "PERSISTMEMBER @set m1",
    "FIELDEXPIRE @set 100 *15000:m#",
    "FIELDTTL set m1",
    "SEXPIRE @set 100 MEMBERS 15000 *15000:m#",
    "SPEXPIRE @set 100000 MEMBERS 15000 *15000:m#",
    "SEXPIREAT @set 99999999999 MEMBERS 15000 *15000:m#",
    "SPEXPIREAT @set 99999999999999 MEMBERS 15000 *15000:m#",
    "SPERSIST @set MEMBERS 15000 *15000:m#",
    "STTL set MEMBERS 15000 *15000:m#",
    "SPTTL set MEMBERS 15000 *15000:m#",
    "SEXPIRETIME set MEMBERS 15000 *15000:m#",
    "SPEXPIRETIME set MEMBERS 15000 *15000:m#",
    // Hashes.
    "HGET hash f1",
    "HMGET hash f1 f2",
    "HMGET hash *15000:f#",
    "HLEN hash",
    "HSTRLEN hash f1",
    "HEXISTS hash f1",
    "HGETALL hash",
    "HKEYS hash",
    "HVALS hash",
    "HSET @hash f1 v",
    "HSET @hash *15000:new#,v",
    "HSET fresh2 *15000:new#,v",
    "HMSET @hash *15000:f#,w",
    "HSETNX @hash f1 v",
    "HDEL @hash f1",
    "HDEL @hash *15000:f#",
    "HINCRBY @hash n 1",
    "HINCRBYFLOAT @hash n 1",
    "HSCAN hash 0 COUNT 1000000",
    "HRANDFIELD hash 15000",
    "HRANDFIELD hash 5000 WITHVALUES",
    "HRANDFIELD hash -15000",
    "HEXPIRE @hash 100 FIELDS 15000 *15000:f#",
    "HPEXPIRE @hash 100000 FIELDS 15000 *15000:f#",
    "HEXPIREAT @hash 99999999999 FIELDS 15000 *15000:f#",
    "HPEXPIREAT @hash 1 FIELDS 15000 *15000:f#",
    "HPERSIST @hash FIELDS 15000 *15000:f#",
    "HTTL hash FIELDS 15000 *15000:f#",
    "HPTTL hash FIELDS 15000 *15000:f#",
    "HEXPIRETIME hash FIELDS 15000 *15000:f#",
    "HPEXPIRETIME hash FIELDS 15000 *15000:f#",
    "HSETEX @hash FXX EX 100 FIELDS 15000 *15000:f#,w",
    "HGETEX @hash EX 100 FIELDS 15000 *15000:f#",
    "HGETDEL @hash FIELDS 15000 *15000:f#",
    // Sorted sets.
    "ZADD @zset 1 a",
    "ZADD @zset *15000:1,new#",
    "ZADD fresh3 *15000:#,new#",
    "ZINCRBY @zset 1 m1",
    "ZREM @zset m1",
    "ZREM @zset *15000:m#",
    "ZCARD zset",
    "ZSCORE zset m1",
    "ZMSCORE zset m1 m2",
    "ZMSCORE zset *15000:m#",
    "ZRANK zset m1",
    "ZREVRANK zset m1",
    "ZCOUNT zset -inf +inf",
    "ZLEXCOUNT zset - +",
    "ZRANGE zset 0 -1",
    "ZREVRANGE zset 0 -1 WITHSCORES",
    "ZRANGEBYSCORE zset -inf +inf",
    "ZREVRANGEBYSCORE zset +inf -inf",
    "ZRANGEBYLEX zset - +",
    "ZREVRANGEBYLEX zset + -",
    "ZRANGESTORE out4 zset 0 -1 REV",
    "ZREMRANGEBYRANK @zset 0 15000",
    "ZREMRANGEBYSCORE @zset 0 15000",
    "ZREMRANGEBYSCORE @zset -inf +inf",
    "ZREMRANGEBYLEX @zset - (m2",
    "ZPOPMIN @zset 15000",
    "ZPOPMAX @zset 100000",
    "ZMPOP 1 @zset MIN COUNT 15000",
    "BZMPOP 0 1 @zset MAX COUNT 15000",
    "BZPOPMIN @zset 0",
    "BZPOPMAX @zset 0",
    "ZMOVE @zset out7 MIN COUNT 15000",
    "BZMOVE @zset out7 MAX 0 COUNT 15000",
    "ZMOVEMEMBER @zset out7 MEMBERS 15000 *15000:m#",
    "ZSCAN zset 0 COUNT 1000000",
    "ZRANDMEMBER zset 15000",
    "ZRANDMEMBER zset 5000",
    "ZRANDMEMBER zset -15000 WITHSCORES",
    "ZUNION 2 zset zset2",
    "ZINTER 2 zset zset2",
    "ZDIFF 2 zset zset2",
    "ZINTERCARD 2 zset zset2",
    "ZUNIONSTORE out4 2 zset zset2",
    "ZINTERSTORE out4 2 zset zset2 WEIGHTS 2 3",
    "ZDIFFSTORE out4 2 zset zset2",
    // Positions.
    "GEOADD @zset 13 38 place",
    "GEOADD @geo *15000:13.#,38,new#",
    "GEODIST zset m1 m2",
    "GEOHASH zset *15000:m#",
    "GEOPOS zset *15000:m#",
    "GEOSEARCH geo FROMLONLAT 13 38 BYRADIUS 5000 km WITHDIST",
    "GEOSEARCHSTORE out8 geo FROMLONLAT 13 38 BYBOX 5000 5000 km",
    "GEORADIUS geo 13 38 5000 km STORE out8",
    "GEORADIUS_RO geo 13 38 5000 km ASC",
    "GEORADIUSBYMEMBER geo p1 5000 km",
    "GEORADIUSBYMEMBER_RO geo p1 5000 km WITHCOORD",
    // Streams.
    "XLEN stream",
    "XADD @stream * f v",
    "XADD @stream MAXLEN 10 * f v",
    "XADD @stream DELREF MINID 9999999 * f v",
    "XTRIM @stream MAXLEN 10",
    "XTRIM @stream MINID 9000",
    "XTRIM @stream MAXLEN 10 DELREF",
    "XTRIM @stream MAXLEN ~ 10 LIMIT 0",
    "XDEL @stream 5-1",
    "XDEL @stream *9000:#-1",
    "XDELEX @stream DELREF IDS 9000 *9000:#-1",
    "XRANGE stream - +",
    "XREVRANGE stream + -",
    "XREAD COUNT 100000 STREAMS stream stream2 0 0",
    "XREADGROUP GROUP g c COUNT 100000 STREAMS @stream2 >",
    "XREADGROUP GROUP g c COUNT 100000 STREAMS @stream 0",
    "XREADGROUP GROUP g d CLAIM 1 COUNT 100000 STREAMS @stream >",
    "XACK @stream g *9000:#-1",
    "XACKDEL @stream g IDS 9000 *9000:#-1",
    "XNACK @stream g FAIL IDS 9000 *9000:#-1",
    "XPENDING stream g - + 100000",
    "XPENDING stream g IDLE 1 - + 100000 c",
    "XPENDING stream g",
    "XCLAIM @stream g d 0 *9000:#-1",
    "XAUTOCLAIM @stream g d 0 0 COUNT 100000",
    "XSETID @stream 99999-1",
    "XCFGSET @stream IDMP-DURATION 100",
    "XIDMPRECORD @stream p i 5-1",
    "XINFO STREAM stream",
    "XINFO GROUPS stream",
    "XINFO CONSUMERS stream g",
    "XGROUP CREATE @stream h 0",
    "XGROUP SETID @stream g 0",
    "XGROUP CREATECONSUMER @stream g e",
    "XGROUP DESTROY @stream g",
    // Arrays.
    "ARLEN array",
    "ARCOUNT array",
    "ARGET array 5",
    "ARMGET array *15000:#",
    "ARGETRANGE array 0 39999",
    "ARSCAN array 0 39999",
    "ARINFO array",
    "ARNEXT array",
    "ARLASTITEMS array 20000 REV",
    "ARGREP array - + MATCH 9",
    "AROP array 0 39999 SUM",
    "AROP array 39999 0 MIN",
    "AROP array 0 39999 XOR",
    "AROP array 0 39999 MATCH 7",
    "AROP array 0 39999 USED",
    "ARSET @array 100000 *15000:#",
    "ARMSET @array *15000:#,v",
    "ARDEL @array *15000:#",
    "ARDELRANGE @array 5 39000",
    "ARINSERT @array *15000:#",
    "ARRING @array 50000 *15000:#",
    "ARSEEK @array 5",
    // Strings.
    "MGET set zset text",
    "MGET *15000:key:#",
    "GET text",
    "STRLEN text",
    "DIGEST text",
    "APPEND @text x",
    "GETRANGE text 0 -1",
    "SUBSTR text 0 -1",
    "SETRANGE @text 10 x",
    "LCS text2 text2",
    "LCS text2 text2 IDX",
    "SET new v",
    "SETEX new 100 v",
    "PSETEX new 100000 v",
    "GETSET new v",
    "GETEX new EX 100",
    "SETNX new v",
    "GETDEL new",
    "MSET *15000:fresh4:#,v",
    "MSETNX *15000:fresh5:#,v",
    "MSETEX 15000 *15000:fresh6:#,v",
    "DELEX missing",
    "DELIFEQ missing v",
    "INCR n",
    "INCRBY n 5",
    "INCRBYFLOAT x 5",
    "DECR n",
    "DECRBY n 5",
    "INCREX n2",
    "CL.THROTTLE throttle 10 10 60",
    // Bits and sketches.
    "GETBIT text 5",
    "SETBIT @text 5 1",
    "BITCOUNT text",
    "BITPOS zeros 1",
    "BITRANGEINTARRAY zeros 0 -1",
    "BITRANGEINTARRAY text 0 5000",
    "BITFIELD @text GET u8 0 SET u8 0 1",
    "BITFIELD_RO text GET u8 0",
    "BITOP NOT out5 text",
    "PFADD sketch *15000:e#",
    "PFCOUNT sketch",
    "PFMERGE sketch2 sketch",
    // Everything.
    "SWAPDB 0 1",
    "SWAPDB 0 1",
    "FLUSHDB ASYNC",
    "FLUSHALL ASYNC",
];

/// Commands of the table that use keys and are not called here, and why.
const NOT_CALLED: &[(&str, &str)] = &[
    (
        "EXEC",
        "runs what has been queued; its slices have tests of their own",
    ),
    ("WATCH", "notes its keys"),
    ("UNWATCH", "notes its keys"),
    ("EVAL", "as long as its script"),
    ("EVALSHA", "as long as its script"),
    ("EVAL_RO", "as long as its script"),
    ("EVALSHA_RO", "as long as its script"),
    ("FCALL", "as long as its function"),
    ("FCALL_RO", "as long as its function"),
    ("DEBUG", "for those who look into the store"),
    ("PFDEBUG", "for those who look into the store"),
    (
        "OBJECT|FREQ",
        "needs a policy; looks at the entry as its siblings do",
    ),
    (
        "HIMPORT|SET",
        "needs names from before; sets a few fields as HSET does",
    ),
    (
        "XGROUP|DELCONSUMER",
        "looks at all that is pending for the consumer",
    ),
    ("CLUSTERSCAN", "needs a cluster"),
    ("CLUSTER|KEYSLOT", "needs a cluster"),
    ("CLUSTER|SLOT-STATS", "needs a cluster"),
    ("NAMESPACE|DROP", "needs namespaces"),
    ("NAMESPACE|FLUSH", "needs namespaces"),
    ("FUNCTION|DELETE", "functions are few"),
    ("FUNCTION|FLUSH", "functions are few"),
    ("FUNCTION|LOAD", "functions are few"),
    ("FUNCTION|RESTORE", "functions are few"),
    ("CLUSTER|COUNTKEYSINSLOT", "needs a cluster"),
    ("CLUSTER|GETKEYSINSLOT", "needs a cluster"),
];

/// The words of a call. `*5:a#,b` stands for `a0 b a1 b` and so on, five times, and `$key` for the
/// payload of a key.
fn words(line: &str, mut payload: impl FnMut(&str) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let repeated = word.strip_prefix('*').and_then(|rest| rest.split_once(':'));
        if let Some((count, template)) = repeated
            && let Ok(count) = count.parse::<usize>()
        {
            for number in 0..count {
                let parts = template.split(',');
                let number = number.to_string();
                words.extend(parts.map(|part| part.replace('#', &number).into_bytes()));
            }
        } else if let Some(key) = word.strip_prefix('$') {
            words.push(payload(key));
        } else {
            words.push(word.trim_start_matches('@').as_bytes().to_vec());
        }
    }
    words
}

fn run(client: &mut Client, words: &[&str]) {
    offer(client, &words.iter().collect());
}

fn offer(client: &mut Client, words: &ArgsBuf) {
    client.out.clear();
    loop {
        client.executor.refresh();
        let (session, out) = (&mut client.session, &mut client.out);
        if client.executor.execute(session, words.as_args(), out) == Outcome::Done {
            return;
        }
        // It runs elsewhere, or comes back for the next part of it.
        std::thread::park_timeout(Duration::from_micros(100));
    }
}

/// The payload of a key, as DUMP has it.
fn payload_of(client: &mut Client, key: &str) -> Vec<u8> {
    run(client, &["DUMP", key]);
    match std::mem::take(&mut client.out).into_bytes().as_slice() {
        [b'$', reply @ ..] => {
            let end = reply.iter().position(|byte| *byte == b'\n');
            let payload = &reply[end.expect("a length has a line") + 1..];
            payload[..payload.len() - 2].to_vec()
        }
        other => panic!("{key}: {}", String::from_utf8_lossy(other)),
    }
}

/// Fills a key in commands of many words.
fn fill(client: &mut Client, command: &str, key: &str, element: impl Fn(usize) -> Vec<String>) {
    let elements: Vec<Vec<String>> = (0..ELEMENTS).map(element).collect();
    for chunk in elements.chunks(500) {
        let rest = chunk.iter().flatten().map(String::as_str);
        let words: Vec<&str> = [command, key].into_iter().chain(rest).collect();
        run(client, &words);
    }
}

fn fill_all(client: &mut Client) {
    fill(client, "SADD", "set", |at| vec![format!("m{at}")]);
    fill(client, "SADD", "set2", |at| vec![format!("m{}", 2 * at)]);
    fill(client, "HSET", "hash", |at| {
        vec![format!("f{at}"), "v".into()]
    });
    fill(client, "RPUSH", "list", |at| vec![at.to_string()]);
    fill(client, "RPUSH", "same", |_| vec!["x".into()]);
    fill(client, "ZADD", "zset", |at| {
        vec![at.to_string(), format!("m{at}")]
    });
    fill(client, "ZADD", "zset2", |at| {
        vec!["1".into(), format!("m{}", 2 * at)]
    });
    fill(client, "GEOADD", "geo", |at| {
        vec![format!("13.{at}"), "38".into(), format!("p{at}")]
    });
    fill(client, "ARMSET", "array", |at| {
        vec![at.to_string(), format!("{at}")]
    });
    fill(client, "PFADD", "sketch", |at| vec![at.to_string()]);
    fill_streams(client);
    let text = "x".repeat(1 << 20);
    run(client, &["SET", "text", &text]);
    run(client, &["SET", "text2", &"ax".repeat(256)]);
    run(client, &["SETBIT", "zeros", &(8 << 20).to_string(), "1"]);
    // The database has many keys as well.
    let keys: Vec<String> = (0..ELEMENTS).map(|at| format!("key:{at}")).collect();
    for chunk in keys.chunks(500) {
        let pairs = chunk.iter().flat_map(|key| [key.as_str(), "v"]);
        let words: Vec<&str> = ["MSET"].into_iter().chain(pairs).collect();
        run(client, &words);
    }
}

/// Two streams with a group; that of the first has delivered everything.
fn fill_streams(client: &mut Client) {
    for key in ["stream", "stream2"] {
        for at in 1..=ELEMENTS / 4 {
            run(client, &["XADD", key, &format!("{at}-1"), "f", "v"]);
        }
        run(client, &["XGROUP", "CREATE", key, "g", "0"]);
    }
    let count = ELEMENTS.to_string();
    let words = [
        "XREADGROUP",
        "GROUP",
        "g",
        "c",
        "COUNT",
        &count,
        "STREAMS",
        "stream",
        ">",
    ];
    run(client, &words);
}

#[test]
#[cfg(debug_assertions)]
fn no_section_touches_very_many_elements() {
    let db = Db::in_memory(Options::default());
    db.engine().settings.long_elements.store(1, Relaxed);
    let mut client = Client::of(&db);
    fill_all(&mut client);
    let mut wrong = Vec::new();
    for line in CALLS {
        let words = words(line, |key| payload_of(&mut client, key));
        let mut changed: Vec<&str> = line
            .split(' ')
            .filter_map(|it| it.strip_prefix('@'))
            .collect();
        changed.dedup();
        for name in &changed {
            run(&mut client, &["COPY", name, "master"]);
            run(&mut client, &["RENAME", name, "spare"]);
            run(&mut client, &["RENAME", "master", name]);
        }
        db.take_longest_section();
        offer(&mut client, &words.iter().collect());
        if client.out.first() == Some(b'-') {
            let reply = std::mem::take(&mut client.out).into_bytes();
            wrong.push(format!("{line}: {}", String::from_utf8_lossy(&reply)));
        }
        let longest = db.take_longest_section();
        let is_by_id = BY_ID
            .iter()
            .any(|name| line.split(' ').next() == Some(*name));
        if longest > if is_by_id { MOST_OF_IDS } else { MOST } {
            wrong.push(format!("{line}: touches {longest}"));
        }
        for name in changed {
            run(&mut client, &["RENAME", "spare", name]);
            // What was put into its place is freed by others.
            db.take_longest_section();
        }
    }
    assert!(
        wrong.is_empty(),
        "sections touch at most {MOST} elements: {wrong:#?}"
    );
}

/// Every command that uses keys is called, or it says why it is not.
#[test]
fn every_command_that_uses_keys_is_called() {
    let is_called = |command: &Command| {
        let name = command.full_name().replace('|', " ").to_uppercase();
        CALLS.iter().any(|line| {
            let line = line.to_uppercase();
            line.starts_with(&format!("{name} ")) || line == name
        })
    };
    let is_excused = |command: &Command| {
        let name = command.full_name().to_uppercase();
        NOT_CALLED.iter().any(|(excused, _)| *excused == name)
    };
    let using = table()
        .commands()
        .iter()
        .filter(|command| command.handler().is_some() && command.locking() != Locking::None);
    let missing: Vec<&str> = using
        .filter(|command| is_called(command) == is_excused(command))
        .map(Command::full_name)
        .collect();
    assert!(
        missing.is_empty(),
        "commands without a call or a reason, or with both: {missing:?}"
    );
}
