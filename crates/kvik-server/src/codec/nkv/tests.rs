use super::gathering::before_wildcard;
use super::*;
use crate::codec::tests::client;

fn nkv() -> Nkv {
    Nkv::new(0, &CodecSettings::default())
}

fn parse(nkv: &mut Nkv, input: &[u8], tail: Tail) -> (Vec<String>, Progress) {
    let (mut batch, now_ms) = (CommandBatch::default(), 0);
    let progress = nkv.parse(
        &Incoming {
            input,
            tail,
            now_ms,
        },
        &mut batch,
    );
    let line = |request: &crate::codec::Request| {
        let words: Vec<_> = batch
            .args(request)
            .iter()
            .map(String::from_utf8_lossy)
            .collect();
        words.join(" ")
    };
    (batch.requests().iter().map(line).collect(), progress)
}

#[test]
fn requests_become_commands_and_then_the_connection_ends() {
    let lines = b"PUT 1 c k dg==\nGET 2 c k\nDEL 3 c k\nCAS 4 c k - dg==\nCAS 5 c k dg== dw==\n";
    let mut nkv = nkv();
    let (commands, progress) = parse(&mut nkv, lines, Tail::Open);
    let expected = [
        "SET k v GET",
        "GET k",
        "GETDEL k",
        "SET k v NX",
        "SET k w IFEQ v",
    ];
    assert_eq!(commands, expected);
    assert_eq!(
        (progress.consumed, progress.end),
        (lines.len(), BatchEnd::Full)
    );
    let (none, progress) = parse(&mut nkv, b"", Tail::Open);
    assert_eq!((none.len(), progress.end), (0, BatchEnd::Close));
}

#[test]
fn what_is_no_request_ends_the_connection_before_it_runs() {
    let (commands, progress) = parse(&mut nkv(), b"get 1 c k\n", Tail::Open);
    assert_eq!((commands.len(), progress.end), (0, BatchEnd::Close));
}

#[test]
fn only_a_subscription_is_whole_without_its_line_end() {
    let (none, progress) = parse(&mut nkv(), b"SUB 1 c k", Tail::Open);
    assert_eq!(
        (none.len(), progress.end),
        (0, BatchEnd::Silence(SILENCE_MS))
    );
    let (commands, _) = parse(&mut nkv(), b"SUB 1 c k", Tail::Silent);
    assert_eq!(commands, ["EXISTS k"]);
    let (none, progress) = parse(&mut nkv(), b"PUT 1 c k dg==", Tail::Silent);
    assert_eq!((none.len(), progress.end), (0, BatchEnd::Incomplete(0)));
    let (commands, _) = parse(&mut nkv(), b"PUT 1 c k dg==", Tail::Last);
    assert_eq!(commands, ["SET k v GET"]);
}

#[test]
fn wildcards_belong_to_reading() {
    let (commands, _) = parse(
        &mut nkv(),
        b"PUT 1 c a.* dg==\nDEL 1 c *\nGET 1 c a.*\n",
        Tail::Open,
    );
    assert_eq!(commands, ["", "", ""]);
    assert_eq!(before_wildcard(b"*"), None);
    assert_eq!(before_wildcard(b"s.*"), Some(&b"s"[..]));
    assert_eq!(before_wildcard(b"s.t.*.k1"), Some(&b"s.t"[..]));
    assert_eq!(before_wildcard(b".*"), Some(&b""[..]));
}

/// A key that is set and kept for as long as its client.
#[test]
fn a_tied_key_is_renewed_and_ends_with_its_client() {
    let mut nkv = nkv();
    let (commands, _) = parse(&mut nkv, b"TIE 1 c k dg==\n", Tail::Open);
    assert_eq!(commands, ["SET k v NX PX 15000"]);
    nkv.tied.push((b"k".to_vec(), b"v".to_vec()));
    let (mut batch, input) = (CommandBatch::default(), &b""[..]);
    let incoming = Incoming {
        input,
        tail: Tail::Open,
        now_ms: RENEWED_MS,
    };
    let progress = nkv.parse(&incoming, &mut batch);
    assert_eq!(&batch.args(&batch.requests()[0])[0], b"PEXPIRE");
    assert_eq!(progress.end, BatchEnd::Full);
    batch.clear();
    let progress = nkv.parse(&incoming, &mut batch);
    assert_eq!(progress.end, BatchEnd::Silence(RENEWED_MS));
    batch.clear();
    nkv.farewell(&mut batch);
    assert_eq!(&batch.args(&batch.requests()[0])[0], b"DELIFEQ");
}

#[test]
fn a_subscription_ends_with_its_connection() {
    let settings = CodecSettings::default();
    let tree = settings.nkv.trees.of(0, settings.scope);
    let nkv = {
        let mut nkv = Nkv::new(0, &settings);
        nkv.streams.push(Stream {
            name: b"c".as_slice().into(),
            subscriber: tree.subscribe(b"k", b"c", &client(), false),
            is_over: false,
            is_apart: false,
        });
        nkv
    };
    assert!(nkv.is_subscribed());
    drop(nkv);
    assert!(!tree.unsubscribe(b"k", b"c"));
}
