//! Talking to doors that do not speak RESP: `kvik cli -u neks://host:port`, `kiba://`, `nkv://`,
//! and under the old names of these clients.
//!
//! A [`Dialogue`] takes one line and writes what comes back. Lines come from a person, with
//! completion and the common history, or from a pipe, whose end is the end.

pub(crate) mod kiba;
pub(crate) mod neks;
pub(crate) mod nkv;
mod place;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use reedline::{
    ColumnarMenu, DefaultCompleter, Emacs, KeyCode, KeyModifiers, MenuBuilder, Reedline,
    ReedlineEvent, ReedlineMenu, Signal, default_emacs_keybindings,
};

use crate::cli::repl::history::history;
use crate::cli::repl::prompt::SessionPrompt;
pub(crate) use place::{Place, Scheme};

/// The step after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Go,
    End,
}

/// A conversation with a server.
pub(crate) trait Dialogue {
    /// The words that a line may begin with.
    fn words(&self) -> &'static [&'static str];

    /// The prompt that also those get who do not sit at a terminal.
    fn asks_for_line(&self) -> &'static [u8] {
        b""
    }

    /// Takes one line and writes what comes back.
    fn say(&mut self, line: &str, out: &mut dyn Write) -> io::Result<Flow>;

    /// Writes what comes without being asked for, until no more can come.
    fn follow(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command, or the lines of standard input.
pub(crate) fn run(place: &Place, command: &[Vec<u8>]) -> ExitCode {
    let finished = match place.scheme {
        Scheme::Neks => {
            neks::NeksLink::open(place).and_then(|mut link| hold(&mut link, place, command))
        }
        Scheme::Kiba => {
            kiba::KibaLink::open(place).and_then(|mut link| hold(&mut link, place, command))
        }
        Scheme::Nkv => hold(&mut nkv::NkvLink::to(place), place, command),
    };
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{place}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hold(dialogue: &mut dyn Dialogue, place: &Place, command: &[Vec<u8>]) -> io::Result<()> {
    if !command.is_empty() {
        let words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
        dialogue.say(&words.join(" "), &mut io::stdout())?;
        io::stdout().flush()?;
        return dialogue.follow(&mut io::stdout());
    }
    converse(dialogue, place.to_string())
}

/// Converses with a person at a terminal, or says the lines of standard input.
pub(crate) fn converse(dialogue: &mut dyn Dialogue, prompt: String) -> io::Result<()> {
    match io::stdin().is_terminal() {
        true => talk(dialogue, prompt),
        false => read_lines(dialogue, &mut io::stdin().lock(), &mut io::stdout()),
    }
}

/// A word as it stands in a line.
pub(crate) fn quoted(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    match text.contains(char::is_whitespace) || text.is_empty() {
        true => format!("\"{text}\""),
        false => text.into_owned(),
    }
}

/// Says line after line until the input ends.
fn read_lines(
    dialogue: &mut dyn Dialogue,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> io::Result<()> {
    for line in input.lines() {
        out.write_all(dialogue.asks_for_line())?;
        let flow = dialogue.say(&line?, out)?;
        out.flush()?;
        if flow == Flow::End {
            break;
        }
    }
    Ok(())
}

/// Converses with a person.
fn talk(dialogue: &mut dyn Dialogue, prompt: String) -> io::Result<()> {
    let mut editor = editor(dialogue.words());
    let prompt = SessionPrompt::new(prompt);
    loop {
        match editor.read_line(&prompt)? {
            Signal::Success(line) => {
                // A history that cannot be written is no reason to stop.
                let _ = editor.sync_history();
                if dialogue.say(&line, &mut io::stdout())? == Flow::End {
                    return Ok(());
                }
            }
            Signal::CtrlD => return Ok(()),
            _ => {}
        }
    }
}

fn editor(words: &[&str]) -> Reedline {
    const MENU: &str = "completion";
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    let completer = Box::new(DefaultCompleter::new_with_wordlen(words, 1));
    let menu = Box::new(ColumnarMenu::default().with_name(MENU));
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(MENU.to_owned()),
            ReedlineEvent::MenuNext,
        ]),
    );
    let editor = Reedline::create()
        .with_completer(completer)
        .with_menu(ReedlineMenu::EngineCompleter(menu))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .use_bracketed_paste(true);
    match history() {
        Some(history) => editor.with_history(history),
        None => editor,
    }
}

/// The words of a line, in redis-cli's quoting.
pub(crate) fn words(line: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut args = kvik_resp::ArgsBuf::new();
    kvik_resp::split_line(line.as_bytes(), &mut args)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a quote is not closed"))?;
    Ok(args.as_args().iter().map(<[u8]>::to_vec).collect())
}
