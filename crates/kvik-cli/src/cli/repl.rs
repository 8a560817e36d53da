//! The interactive session.
//!
//! [`session`] runs commands and keeps the connection, [`editor`] reads lines: completion, hints,
//! colours and history come from there, all of them driven by the command table of this build. A
//! server with other commands can be used as well, only without hints for those.

mod completion;
mod editor;
mod help;
mod highlight;
mod hint;
pub(crate) mod history;
pub(crate) mod prompt;
mod session;
mod state;
mod words;

use std::process::ExitCode;

use reedline::Signal;

use super::settings::Settings;
use session::{Next, Session};

/// Reads and runs lines until the user leaves.
pub(crate) fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let mut editor = editor::editor(settings.colours);
    let mut session = Session::start(settings)?;
    loop {
        let next = match editor.read_line(&session.prompt())? {
            Signal::Success(lines) => {
                // A history that cannot be written is no reason to stop.
                let _ = editor.sync_history();
                run_lines(&mut session, &lines)?
            }
            Signal::CtrlD => Next::Leave,
            _ => Next::Prompt,
        };
        if next == Next::Leave {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// A paste may hold several lines: several commands. After one that got no reply, the others are
/// left out.
fn run_lines(session: &mut Session, lines: &str) -> anyhow::Result<Next> {
    let mut lines = lines.lines();
    while let Some(line) = lines.next() {
        match session.run_line(line)? {
            Next::Line => {}
            Next::Prompt => {
                session.skip(lines.count())?;
                break;
            }
            Next::Leave => return Ok(Next::Leave),
        }
    }
    Ok(Next::Prompt)
}
