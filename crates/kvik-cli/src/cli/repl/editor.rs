//! The line editor: keys, menu, history, colours.

use nu_ansi_term::{Color, Style};
use reedline::{
    ColumnarMenu, Emacs, KeyCode, KeyModifiers, MenuBuilder, Reedline, ReedlineEvent, ReedlineMenu,
    default_emacs_keybindings,
};

use super::completion::TableCompleter;
use super::highlight::CommandHighlighter;
use super::hint::SyntaxHinter;
use super::history::history;

const MENU: &str = "completion";

/// An editor for commands, with Emacs' keys.
pub(super) fn editor(colours: bool) -> Reedline {
    let editor = Reedline::create()
        .with_ansi_colors(colours)
        .with_completer(Box::new(TableCompleter))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu())))
        .with_hinter(Box::new(SyntaxHinter))
        .with_highlighter(Box::new(CommandHighlighter))
        .with_edit_mode(Box::new(keys()))
        .use_bracketed_paste(true);
    // Without a history on disk the editor has its own, in memory.
    match history() {
        Some(history) => editor.with_history(history),
        None => editor,
    }
}

fn menu() -> ColumnarMenu {
    ColumnarMenu::default()
        .with_name(MENU)
        .with_marker("> ")
        .with_columns(6)
        .with_column_padding(2)
        .with_text_style(Style::new())
        .with_match_text_style(Style::new().bold())
        .with_selected_text_style(Style::new().reverse())
        .with_selected_match_text_style(Style::new().reverse().bold())
        .with_description_text_style(Color::DarkGray.normal())
}

fn keys() -> Emacs {
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        // The first tab opens the menu, further ones go through it.
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(MENU.to_owned()),
            ReedlineEvent::MenuNext,
        ]),
    );
    keys.add_binding(
        KeyModifiers::SHIFT,
        KeyCode::BackTab,
        ReedlineEvent::MenuPrevious,
    );
    Emacs::new(keys)
}
