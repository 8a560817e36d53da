//! Errors of a script that failed, in Redis' words.

use mlua::{Table, Value};

/// The text of the error that ended a library's code.
pub(crate) fn problem_text(problem: &Value) -> Vec<u8> {
    match problem {
        Value::Table(problem) => {
            field(problem, "err").unwrap_or_else(|| b"ERR unknown error".into())
        }
        other => other.to_string().unwrap_or_default().into_bytes(),
    }
}

/// The line of the error reply of a script that failed: the error, and where it came up.
pub(crate) fn problem_line(problem: &Value, name: &str) -> Vec<u8> {
    let mut line = problem_text(problem);
    if let Value::Table(problem) = problem
        && let (Some(source), Some(at)) = (field(problem, "source"), field(problem, "line"))
    {
        line.extend_from_slice(format!(" script: {name}, on ").as_bytes());
        line.extend_from_slice(&source);
        line.push(b':');
        line.extend_from_slice(&at);
        line.push(b'.');
    }
    line
}

/// Whether a command has counted the error already.
pub(crate) fn is_counted(problem: &Value) -> bool {
    let Value::Table(problem) = problem else {
        return false;
    };
    let mark = problem.raw_get::<Value>("ignore_error_stats_update");
    mark.is_ok_and(|mark| mark != Value::Nil)
}

fn field(table: &Table, name: &str) -> Option<Vec<u8>> {
    match table.raw_get(name).ok()? {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}
