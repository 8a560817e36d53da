//! The functions of Rust that `sandbox.lua` arranges: those of the server, and the rest.
//!
//! See [`Shape`] for how they return errors.

use kvik_command::script::{INVALID_NAME, ScriptFlags, is_name};
use kvik_command::{REDIS_VERSION, VERSION};
use kvik_resp::Protocol;
use mlua::{Function, Lua, MultiValue, Result, Table, Value};

use crate::link::Link;
use crate::native::{Outcome, add, integer_argument, several, single};
use crate::raise::Shape;
use crate::{bits, calls, json, msgpack, numbers, packing, pattern};

/// All functions, as a table.
pub(crate) fn functions(lua: &Lua, link: &Link) -> Result<Table> {
    let raw = lua.create_table()?;
    add_commands(lua, link, &raw)?;
    add_replies(lua, &raw)?;
    add_errors(lua, link, &raw)?;
    add_settings(lua, link, &raw)?;
    raw.raw_set("constants", constants(lua)?)?;
    let register = register_function(lua, link)?;
    add(lua, &raw, "register_function", Shape::Table, register)?;
    pattern::add(lua, link, &raw)?;
    json::add(lua, link, &raw)?;
    msgpack::add(lua, link, &raw)?;
    packing::add(lua, &raw)?;
    raw.raw_set("bit", bits::functions(lua)?)?;
    Ok(raw)
}

fn add_commands(lua: &Lua, link: &Link, raw: &Table) -> Result<()> {
    calls::add(lua, link, raw)?;
    let shared = link.clone();
    let check = lua.create_function(move |lua, words: MultiValue| {
        shared.with(|shared| {
            if let Err(text) = take_words(&mut shared.args, &words) {
                return single(lua, Err(format!("ERR {text}").into()));
            }
            let args = std::mem::take(&mut shared.args);
            let may = shared.caller().and_then(|it| it.may_call(args.as_args()));
            shared.args = args;
            const UNKNOWN: &[u8] = b"ERR Invalid command passed to server.acl_check_cmd()";
            let may = may.map(Value::Boolean).ok_or_else(|| UNKNOWN.to_vec());
            single(lua, may)
        })
    })?;
    add(lua, raw, "acl_check_cmd", Shape::Table, check)
}

/// Puts the words of a command where commands are called from.
fn take_words(
    args: &mut kvik_resp::ArgsBuf,
    words: &MultiValue,
) -> std::result::Result<(), &'static str> {
    args.clear();
    if words.is_empty() {
        return Err("Please specify at least one argument for this server.acl_check_cmd() call");
    }
    for word in words {
        match text(word) {
            Some(word) => args.push(&word),
            None => return Err("Command arguments must be strings or integers"),
        };
    }
    Ok(())
}

fn add_replies(lua: &Lua, raw: &Table) -> Result<()> {
    const WRONG: &[u8] = b"ERR wrong number or type of arguments";
    let sole_text = |mut values: MultiValue| match (values.len(), values.pop_front()) {
        (1, Some(Value::String(text))) => Ok(text),
        _ => Err(WRONG.to_vec()),
    };
    let error = lua.create_function(move |lua, values: MultiValue| {
        let text = match sole_text(values) {
            Ok(text) => text,
            Err(text) => return single(lua, Err(text)),
        };
        let table = lua.create_table()?;
        table.raw_set("err", lua.create_string(error_line(&text.as_bytes()))?)?;
        single(lua, Ok(Value::Table(table)))
    })?;
    add(lua, raw, "error_reply", Shape::ReturnedTable, error)?;
    let status = lua.create_function(move |lua, values: MultiValue| {
        let text = match sole_text(values) {
            Ok(text) => text,
            Err(text) => return single(lua, Err(text)),
        };
        let table = lua.create_table()?;
        table.raw_set("ok", text)?;
        single(lua, Ok(Value::Table(table)))
    })?;
    add(lua, raw, "status_reply", Shape::ReturnedTable, status)?;
    let sha = lua.create_function(|lua, values: MultiValue| {
        if values.len() != 1 {
            return single(lua, Err(b"ERR wrong number of arguments".to_vec()));
        }
        let text = match &values[0] {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Integer(number) => number.to_string().into_bytes(),
            Value::Number(number) => numbers::argument(*number),
            _ => Vec::new(),
        };
        let digest = sha1_smol::Sha1::from(text).digest().to_string();
        single(lua, Ok(Value::String(lua.create_string(digest)?)))
    })?;
    add(lua, raw, "sha1hex", Shape::Table, sha)
}

/// The line of an error from the text of a script. One without a code gets `ERR`.
fn error_line(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let text = text.trim_ascii_end();
    // As Redis has it: a text with a blank begins with its code.
    match memchr_space(text) {
        true => text.to_vec(),
        false => [b"ERR ", text].concat(),
    }
}

fn memchr_space(text: &[u8]) -> bool {
    text.contains(&b' ')
}

fn add_errors(lua: &Lua, link: &Link, raw: &Table) -> Result<()> {
    let shared = link.clone();
    let killed = lua.create_function(move |_, ()| Ok(shared.with(|it| it.ending.is_some())))?;
    raw.raw_set("killed", killed)?;
    let text_of =
        lua.create_function(|lua, failure: Value| lua.create_string(text_of(&failure)))?;
    raw.raw_set("text_of", text_of)?;
    let shared = link.clone();
    raw.raw_set("explain", explain(lua, shared)?)
}

/// The text of what Lua's `error` was given, or Rust has failed with.
fn text_of(failure: &Value) -> Vec<u8> {
    match failure {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Error(error) => root_cause(error).into_bytes(),
        other => other.to_string().unwrap_or_default().into_bytes(),
    }
}

fn root_cause(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => root_cause(cause),
        mlua::Error::WithContext { cause, .. } => root_cause(cause),
        mlua::Error::RuntimeError(text) => text.clone(),
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        other => other.to_string(),
    }
}

/// Makes a table of an error, with the place in the script at which it came up. Lua calls it where
/// the error is raised.
fn explain(lua: &Lua, link: Link) -> Result<Function> {
    const LEVELS: usize = 50;
    lua.create_function(move |lua, failure: Value| {
        let ending = link.with(|shared| shared.ending);
        let problem = match (ending, failure) {
            // What the script raised as a table is passed on. A script that has to end gets that as
            // its reason, whatever it did when it was told.
            (None, Value::Table(problem)) => problem,
            (ending, failure) => {
                let text = match ending {
                    Some(ending) => ending.text().as_bytes().to_vec(),
                    None => [b"ERR ", &text_of(&failure)[..]].concat(),
                };
                let problem = lua.create_table()?;
                problem.raw_set("err", lua.create_string(text)?)?;
                problem
            }
        };
        for level in 1..LEVELS {
            let place = lua.inspect_stack(level, |debug| {
                let source = debug.source().source.map(|it| it.into_owned());
                (source, debug.current_line())
            });
            match place {
                None => break,
                // The innermost place in a text of a client; the frames above it are the sandbox's.
                Some((Some(source), Some(line))) if source.starts_with("@user_") => {
                    problem.raw_set("source", source)?;
                    problem.raw_set("line", line.to_string())?;
                    break;
                }
                Some(_) => {}
            }
        }
        Ok(problem)
    })
}

fn add_settings(lua: &Lua, link: &Link, raw: &Table) -> Result<()> {
    let shared = link.clone();
    let setresp = lua.create_function(move |lua, values: MultiValue| {
        if values.len() != 1 {
            return single(
                lua,
                Err(b"ERR server.setresp() requires one argument.".to_vec()),
            );
        }
        let protocol = match numbers::number(&values[0]).map(|it| it as i64) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            _ => return single(lua, Err(b"ERR RESP version must be 2 or 3.".to_vec())),
        };
        shared.with(|shared| shared.protocol = protocol);
        single(lua, Ok(Value::Nil))
    })?;
    add(lua, raw, "setresp", Shape::Table, setresp)?;
    // Effects always go to the log and to replicas.
    let set_repl = lua.create_function(|lua, values: MultiValue| {
        const FLAGS: &[u8] =
            b"ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        if values.len() != 1 {
            return single(
                lua,
                Err(b"ERR server.set_repl() requires one argument.".to_vec()),
            );
        }
        let flags = numbers::number(&values[0]).unwrap_or(0.0) as i64;
        match flags & !3 {
            0 => single(lua, Ok(Value::Nil)),
            _ => single(lua, Err(FLAGS.to_vec())),
        }
    })?;
    add(lua, raw, "set_repl", Shape::Table, set_repl)?;
    let shared = link.clone();
    let log = lua.create_function(move |lua, values: MultiValue| {
        let (level, line) = match log_line(&values) {
            Ok(line) => line,
            Err(text) => return single(lua, Err(text)),
        };
        shared.with(|shared| {
            if let Some(caller) = shared.caller() {
                caller.log(level, &line);
            }
        });
        single(lua, Ok(Value::Nil))
    })?;
    add(lua, raw, "log", Shape::Table, log)?;
    let shared = link.clone();
    let clock = lua.create_function(move |lua, ()| {
        let clock_s = shared.with(|shared| shared.caller().map(|it| it.clock_s()));
        single(lua, Ok(Value::Number(clock_s.unwrap_or(0.0))))
    })?;
    add(lua, raw, "clock", Shape::Text, clock)?;
    add_random(lua, link, raw)
}

fn log_line(values: &MultiValue) -> Outcome<(u8, Vec<u8>)> {
    if values.len() < 2 {
        return Err(b"ERR server.log() requires two arguments or more.".to_vec());
    }
    let Some(level) = numbers::number(&values[0]) else {
        return Err(b"ERR First argument must be a number (log level).".to_vec());
    };
    let level = match level as i64 {
        level @ 0..=3 => level as u8,
        _ => return Err(b"ERR Invalid log level.".to_vec()),
    };
    let texts = values.iter().skip(1).filter_map(|value| match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(number.to_string().into_bytes()),
        Value::Number(number) => Some(numbers::argument(*number)),
        _ => None,
    });
    let texts: Vec<_> = texts.collect();
    Ok((level, texts.join(&b' ')))
}

fn add_random(lua: &Lua, link: &Link, raw: &Table) -> Result<()> {
    let shared = link.clone();
    let random = lua.create_function(move |lua, values: MultiValue| {
        let fraction = shared.with(|shared| shared.random.fraction());
        several(
            lua,
            random_of(fraction, &values).map(|number| vec![Value::Number(number)]),
        )
    })?;
    add(lua, raw, "random", Shape::Text, random)?;
    let shared = link.clone();
    let randomseed = lua.create_function(move |lua, values: MultiValue| {
        let outcome = integer_argument(&values, 0, "randomseed").map(|seed| {
            shared.with(|shared| shared.random.seed(seed as i32));
            Vec::new()
        });
        several(lua, outcome)
    })?;
    add(lua, raw, "randomseed", Shape::Text, randomseed)
}

fn random_of(fraction: f64, values: &MultiValue) -> Outcome<f64> {
    let empty = |at: usize| format!("bad argument #{at} to 'random' (interval is empty)");
    match values.len() {
        0 => Ok(fraction),
        1 => {
            let most = integer_argument(values, 0, "random")?;
            if most < 1 {
                return Err(empty(1).into());
            }
            Ok((fraction * most as f64).floor() + 1.0)
        }
        2 => {
            let least = integer_argument(values, 0, "random")?;
            let most = integer_argument(values, 1, "random")?;
            if least > most {
                return Err(empty(2).into());
            }
            Ok((fraction * (most as f64 - least as f64 + 1.0)).floor() + least as f64)
        }
        _ => Err(b"wrong number of arguments".to_vec()),
    }
}

fn constants(lua: &Lua) -> Result<Table> {
    let constants = lua.create_table()?;
    let number = |version: &str| {
        let parts = version
            .split('.')
            .map(|part| part.parse::<u32>().unwrap_or(0));
        parts.fold(0, |sum, part| sum << 8 | part)
    };
    for (level, name) in ["DEBUG", "VERBOSE", "NOTICE", "WARNING"].iter().enumerate() {
        constants.raw_set(format!("LOG_{name}"), level)?;
    }
    constants.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    constants.raw_set("REDIS_VERSION_NUM", number(REDIS_VERSION))?;
    constants.raw_set("SERVER_NAME", "kvik")?;
    constants.raw_set("SERVER_VERSION", VERSION)?;
    constants.raw_set("SERVER_VERSION_NUM", number(VERSION))?;
    Ok(constants)
}

fn register_function(lua: &Lua, link: &Link) -> Result<Function> {
    let link = link.clone();
    lua.create_function(move |lua, values: MultiValue| {
        let outcome = read_function(&values).and_then(|(function, callback)| {
            link.with(|shared| {
                let Some(loading) = &mut shared.loading else {
                    let text =
                        "server.register_function can only be called on FUNCTION LOAD command";
                    return Err(text.into());
                };
                if loading
                    .functions
                    .iter()
                    .any(|(it, _)| it.name == function.name)
                {
                    return Err(b"Function already exists in the library".to_vec());
                }
                loading.functions.push((function, callback));
                Ok(Value::Nil)
            })
        });
        let outcome = outcome.map_err(|text| [b"ERR ", &text[..]].concat());
        single(lua, outcome)
    })
}

fn read_function(values: &MultiValue) -> Outcome<(kvik_command::script::Function, Function)> {
    let (function, callback) = match (values.len(), values.front(), values.get(1)) {
        (1, Some(Value::Table(named)), _) => read_named(named)?,
        (1, ..) => {
            return Err(
                b"calling server.register_function with a single argument is only applicable to Lua table (representing named arguments)."
                    .to_vec(),
            );
        }
        (2, Some(name), callback) => {
            let name =
                text(name).ok_or("first argument to server.register_function must be a string")?;
            let Some(Value::Function(callback)) = callback else {
                return Err(
                    b"second argument to server.register_function must be a function".to_vec(),
                );
            };
            (unnamed(name), callback.clone())
        }
        _ => return Err(b"wrong number of arguments to server.register_function".to_vec()),
    };
    if !is_name(function.name.as_bytes()) {
        return Err(INVALID_NAME.into());
    }
    Ok((function, callback))
}

fn unnamed(name: Vec<u8>) -> kvik_command::script::Function {
    kvik_command::script::Function {
        name: String::from_utf8_lossy(&name).into_owned(),
        description: None,
        flags: ScriptFlags::empty(),
    }
}

fn read_named(named: &Table) -> Outcome<(kvik_command::script::Function, Function)> {
    let (mut name, mut callback) = (None, None);
    let (mut description, mut flags) = (None, ScriptFlags::empty());
    let failed = |_| b"ERR cannot read the named arguments".to_vec();
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(failed)?;
        let Value::String(key) = key else {
            return Err(
                b"named argument key given to server.register_function is not a string".to_vec(),
            );
        };
        match key.as_bytes().to_ascii_lowercase().as_slice() {
            b"function_name" => {
                name = Some(text(&value).ok_or(
                    "function_name argument given to server.register_function must be a string",
                )?)
            }
            b"description" => {
                description = Some(text(&value).ok_or(
                    "description argument given to server.register_function must be a string",
                )?)
            }
            b"callback" => match value {
                Value::Function(function) => callback = Some(function),
                _ => {
                    return Err(
                        b"callback argument given to server.register_function must be a function"
                            .to_vec(),
                    );
                }
            },
            b"flags" => match value {
                Value::Table(list) => flags = read_flags(&list)?,
                _ => {
                    return Err(
                        b"flags argument to server.register_function must be a table representing function flags"
                            .to_vec(),
                    );
                }
            },
            _ => return Err(b"unknown argument given to server.register_function".to_vec()),
        }
    }
    let name = name.ok_or("server.register_function must get a function name argument")?;
    let callback = callback.ok_or("server.register_function must get a callback argument")?;
    let function = kvik_command::script::Function {
        description,
        flags,
        ..unnamed(name)
    };
    Ok((function, callback))
}

fn read_flags(list: &Table) -> Outcome<ScriptFlags> {
    let mut flags = ScriptFlags::empty();
    for at in 1.. {
        let flag: Value = list.get(at).map_err(|_| b"unknown flag given".to_vec())?;
        if flag == Value::Nil {
            break;
        }
        let named = text(&flag).and_then(|it| ScriptFlags::named(&it.to_ascii_lowercase()));
        flags |= named.ok_or("unknown flag given")?;
    }
    Ok(flags)
}

fn text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(number.to_string().into_bytes()),
        Value::Number(number) => Some(numbers::argument(*number)),
        _ => None,
    }
}
