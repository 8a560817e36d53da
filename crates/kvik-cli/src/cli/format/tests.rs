//! Formats, reply by reply. What stands under `human` and `raw` is what redis-cli 7.0.15 printed
//! for the same bytes, except for the types that it does not know (blob errors, big numbers, NaN,
//! attributes).

use kvik_resp::ReplyDecoder;

use super::*;

struct Case {
    wire: &'static str,
    human: &'static str,
    raw: &'static str,
    json: &'static str,
}

fn decode(wire: &[u8]) -> Value {
    let (value, len) = ReplyDecoder::new().decode(wire).unwrap().unwrap();
    assert_eq!(len, wire.len());
    value
}

fn show(format: &Format, reply: &Value) -> String {
    let mut out = Vec::new();
    format.write(reply, false, &mut out).unwrap();
    String::from_utf8_lossy(&out).into_owned()
}

fn raw() -> Format {
    Format::Raw {
        between: b"\n".to_vec(),
        after: b"\n".to_vec(),
    }
}

fn check(cases: &[Case]) {
    for case in cases {
        let reply = decode(case.wire.as_bytes());
        let human = Format::Human(Theme::plain());
        assert_eq!(show(&human, &reply), case.human, "human {}", case.wire);
        assert_eq!(show(&raw(), &reply), case.raw, "raw {}", case.wire);
        assert_eq!(show(&Format::Json, &reply), case.json, "JSON {}", case.wire);
    }
}

#[test]
fn scalars_say_their_type_to_people_only() {
    check(&[
        Case {
            wire: "+OK\r\n",
            human: "OK\n",
            raw: "OK\n",
            json: "\"OK\"\n",
        },
        Case {
            wire: "-ERR no\r\n",
            human: "(error) ERR no\n",
            raw: "ERR no\n\n",
            json: "{\"error\":\"ERR no\"}\n",
        },
        Case {
            wire: "!6\r\nERR no\r\n",
            human: "(error) ERR no\n",
            raw: "ERR no\n\n",
            json: "{\"error\":\"ERR no\"}\n",
        },
        Case {
            wire: ":-5\r\n",
            human: "(integer) -5\n",
            raw: "-5\n",
            json: "-5\n",
        },
        Case {
            wire: "$3\r\na\"b\r\n",
            human: "\"a\\\"b\"\n",
            raw: "a\"b\n",
            json: "\"a\\\"b\"\n",
        },
        Case {
            wire: "$-1\r\n",
            human: "(nil)\n",
            raw: "\n",
            json: "null\n",
        },
        Case {
            wire: "*-1\r\n",
            human: "(nil)\n",
            raw: "\n",
            json: "null\n",
        },
        Case {
            wire: "_\r\n",
            human: "(nil)\n",
            raw: "\n",
            json: "null\n",
        },
        Case {
            wire: "#t\r\n",
            human: "(true)\n",
            raw: "(true)\n",
            json: "true\n",
        },
        Case {
            wire: "#f\r\n",
            human: "(false)\n",
            raw: "(false)\n",
            json: "false\n",
        },
        Case {
            wire: ",3.25\r\n",
            human: "(double) 3.25\n",
            raw: "3.25\n",
            json: "3.25\n",
        },
        Case {
            wire: ",10\r\n",
            human: "(double) 10\n",
            raw: "10\n",
            json: "10\n",
        },
        Case {
            wire: ",inf\r\n",
            human: "(double) inf\n",
            raw: "inf\n",
            json: "\"inf\"\n",
        },
        Case {
            wire: ",nan\r\n",
            human: "(double) nan\n",
            raw: "nan\n",
            json: "\"nan\"\n",
        },
        Case {
            wire: "(12345678901234567890\r\n",
            human: "(big number) 12345678901234567890\n",
            raw: "12345678901234567890\n",
            json: "\"12345678901234567890\"\n",
        },
        Case {
            wire: "=9\r\ntxt:a\nb\"c\r\n",
            human: "a\nb\"c\n",
            raw: "a\nb\"c\n",
            json: "\"a\\nb\\\"c\"\n",
        },
    ]);
}

#[test]
fn empty_aggregates_are_named() {
    check(&[
        Case {
            wire: "*0\r\n",
            human: "(empty array)\n",
            raw: "\n",
            json: "[]\n",
        },
        Case {
            wire: "%0\r\n",
            human: "(empty hash)\n",
            raw: "\n",
            json: "{}\n",
        },
        Case {
            wire: "~0\r\n",
            human: "(empty set)\n",
            raw: "\n",
            json: "[]\n",
        },
        Case {
            wire: "%2\r\n+a\r\n*0\r\n+b\r\n%0\r\n",
            human: "1# a => (empty array)\n2# b => (empty hash)\n",
            raw: "a \nb \n",
            json: "{\"a\":[],\"b\":{}}\n",
        },
    ]);
}

#[test]
fn nested_values_line_up() {
    check(&[
        Case {
            wire: "*3\r\n$1\r\na\r\n:1\r\n*2\r\n+x\r\n$-1\r\n",
            human: "1) \"a\"\n2) (integer) 1\n3) 1) x\n   2) (nil)\n",
            raw: "a\n1\nx\n\n",
            json: "[\"a\",1,[\"x\",null]]\n",
        },
        Case {
            wire: "*2\r\n*2\r\n*1\r\n:1\r\n*0\r\n%1\r\n+k\r\n*2\r\n:1\r\n,2.5\r\n",
            human: "1) 1) 1) (integer) 1\n   2) (empty array)\n2) 1# k => \n      1) (integer) 1\n      2) (double) 2.5\n",
            raw: "1\n\nk 1\n2.5\n",
            json: "[[[1],[]],{\"k\":[1,2.5]}]\n",
        },
        Case {
            wire: "%2\r\n$1\r\na\r\n:1\r\n:7\r\n%1\r\n$1\r\nb\r\n~2\r\n:1\r\n:2\r\n",
            human: "1# \"a\" => (integer) 1\n2# (integer) 7 => \n   1# \"b\" => \n      1~ (integer) 1\n      2~ (integer) 2\n",
            raw: "a 1\n7 b 1\n2\n",
            json: "{\"a\":1,\"7\":{\"b\":[1,2]}}\n",
        },
        Case {
            wire: "%1\r\n%1\r\n:1\r\n:2\r\n:3\r\n",
            human: "1# 1# (integer) 1 => (integer) 2 => (integer) 3\n",
            raw: "1 2 3\n",
            json: "{\"{\\\"1\\\":2}\":3}\n",
        },
        Case {
            wire: "*1\r\n~1\r\n%1\r\n+a\r\n*1\r\n*1\r\n:1\r\n",
            human: "1) 1~ 1# a => 1) 1) (integer) 1\n",
            raw: "a 1\n",
            json: "[[{\"a\":[[1]]}]]\n",
        },
        Case {
            wire: "~2\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n",
            human: "1~ \"a\"\n2~ 1) (integer) 1\n   2) (integer) 2\n",
            raw: "a\n1\n2\n",
            json: "[\"a\",[1,2]]\n",
        },
        Case {
            wire: "*2\r\n-ERR no\r\n=5\r\ntxt:a\r\n",
            human: "1) (error) ERR no\n2) a\n",
            raw: "ERR no\n\na\n",
            json: "[{\"error\":\"ERR no\"},\"a\"]\n",
        },
        Case {
            wire: "|1\r\n+ttl\r\n:3\r\n$1\r\na\r\n",
            human: "\"a\"\n",
            raw: "a\n",
            json: "\"a\"\n",
        },
        Case {
            wire: ">2\r\n$1\r\na\r\n:2\r\n",
            human: "1) \"a\"\n2) (integer) 2\n",
            raw: "a\n2\n",
            json: "[\"a\",2]\n",
        },
    ]);
}

#[test]
fn numbers_are_as_wide_as_the_widest() {
    let ten = "+z\r\n".repeat(10);
    let eleven = format!("*11\r\n{}*1\r\n*10\r\n{ten}", ":1\r\n".repeat(10));
    let shown = show(&Format::Human(Theme::plain()), &decode(eleven.as_bytes()));
    assert!(
        shown.starts_with(" 1) (integer) 1\n 2) (integer) 1\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\n10) (integer) 1\n11) 1)  1) z\n        2) z\n"),
        "{shown}"
    );
    assert!(shown.ends_with("\n        9) z\n       10) z\n"), "{shown}");
}

#[test]
fn bytes_that_are_no_text_are_shown_without_loss() {
    let reply = Value::Bulk(b"\n\r\t\x07\x08\x1b\x7f\\'\xc3\xa9 \0\xff".to_vec());
    let human = show(&Format::Human(Theme::plain()), &reply);
    assert_eq!(
        human,
        "\"\\n\\r\\t\\a\\b\\x1b\\x7f\\\\'\\xc3\\xa9 \\x00\\xff\"\n"
    );
    assert_eq!(
        show(&Format::Json, &reply),
        "{\"base64\":\"Cg0JBwgbf1wnw6kgAP8=\"}\n"
    );
    assert_eq!(show(&Format::Json, &Value::Bulk("é".into())), "\"é\"\n");
    for (bytes, text) in [
        (&b"\xff"[..], "/w=="),
        (b"\xff\xfe", "//4="),
        (b"\xff\xfe\xfd", "//79"),
    ] {
        let expected = format!("{{\"base64\":\"{text}\"}}\n");
        assert_eq!(show(&Format::Json, &Value::Bulk(bytes.to_vec())), expected);
    }
}

#[test]
fn delimiters_stand_between_elements_and_after_replies() {
    let format = Format::Raw {
        between: b", ".to_vec(),
        after: b";".to_vec(),
    };
    assert_eq!(
        show(&format, &decode(b"*2\r\n:1\r\n*2\r\n:2\r\n:3\r\n")),
        "1, 2, 3;"
    );
}

#[test]
fn reports_are_shown_as_text() {
    let reply = Value::Bulk(b"# Server\r\nversion:1\r\n".to_vec());
    let mut out = Vec::new();
    Format::Human(Theme::coloured())
        .write(&reply, true, &mut out)
        .unwrap();
    assert_eq!(out, b"# Server\r\nversion:1\r\n");
    out.clear();
    Format::Human(Theme::plain())
        .write(&Value::Error("ERR no".into()), true, &mut out)
        .unwrap();
    assert_eq!(out, b"(error) ERR no\n");
}

#[test]
fn colours_change_no_character() {
    let reply = decode(b"%1\r\n$1\r\na\r\n*3\r\n:1\r\n-ERR no\r\n_\r\n");
    let coloured = show(&Format::Human(Theme::coloured()), &reply);
    let plain = show(&Format::Human(Theme::plain()), &reply);
    assert_ne!(coloured, plain);
    let mut stripped = String::new();
    for (index, part) in coloured.split('\x1b').enumerate() {
        let text = if index == 0 {
            part
        } else {
            part.split_once('m').unwrap().1
        };
        stripped.push_str(text);
    }
    assert_eq!(stripped, plain);
}
