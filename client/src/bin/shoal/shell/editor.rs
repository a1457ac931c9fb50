//! The line editor: keys, history, prompt, and when a statement is complete.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use reedline::{
    ColumnarMenu, EditCommand, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder,
    PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, Reedline, ReedlineEvent,
    ReedlineMenu, ValidationResult, Validator, default_emacs_keybindings,
};

use super::commands::Command;
use super::complete::NameCompleter;
use super::highlight::SqlHighlighter;
use super::names::Names;
use crate::lexer::split;

/// Entries the history keeps.
const HISTORY_ENTRIES: usize = 10_000;
const COMPLETION_MENU: &str = "completion";

/// An editor that completes from `names`.
pub fn editor(names: Arc<RwLock<Names>>) -> Reedline {
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(COMPLETION_MENU.into()),
            ReedlineEvent::MenuNext,
        ]),
    );
    keys.add_binding(
        KeyModifiers::ALT,
        KeyCode::Enter,
        ReedlineEvent::Edit(vec![EditCommand::InsertNewline]),
    );
    let menu = ColumnarMenu::default()
        .with_name(COMPLETION_MENU)
        .with_columns(3)
        .with_marker("> ");
    let editor = Reedline::create()
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_completer(Box::new(NameCompleter(names)))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_highlighter(Box::new(SqlHighlighter))
        .with_validator(Box::new(UpToSemicolon))
        .with_ansi_colors(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        .use_bracketed_paste(true);
    match history() {
        Ok(history) => editor.with_history(Box::new(history)),
        Err(reason) => {
            eprintln!("note: what you type is not kept for the next time: {reason}");
            editor
        }
    }
}

/// The history in `$XDG_STATE_HOME/shoal/history`.
fn history() -> Result<FileBackedHistory, String> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder = state.or_else(home).ok_or("HOME is not set")?.join("shoal");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    FileBackedHistory::with_file(HISTORY_ENTRIES, folder.join("history"))
        .map_err(|error| error.to_string())
}

/// Enter sends what ends in a semicolon, and commands; anything else goes on in the next line.
struct UpToSemicolon;

impl Validator for UpToSemicolon {
    fn validate(&self, typed: &str) -> ValidationResult {
        match Command::parse(typed).is_some() || split(typed).unfinished.is_none() {
            true => ValidationResult::Complete,
            false => ValidationResult::Incomplete,
        }
    }
}

/// `shoal> `, and `    -> ` on the lines that follow.
pub struct Prompt;

impl reedline::Prompt for Prompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "shoal".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "    -> ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        let found = match search.status {
            PromptHistorySearchStatus::Passing => "",
            PromptHistorySearchStatus::Failing => "nothing for ",
        };
        format!("({found}{}) ", search.term).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(typed: &str) -> bool {
        matches!(UpToSemicolon.validate(typed), ValidationResult::Complete)
    }

    #[test]
    fn enter_sends_whole_statements_and_commands_only() {
        for typed in [
            "SELECT 1;",
            "",
            "  ",
            "\\d",
            "help",
            "\\q",
            "SELECT 1; -- done",
        ] {
            assert!(complete(typed), "{typed}");
        }
        for typed in ["SELECT 1", "SELECT 'a;", "SELECT 1; SELECT", "/* ;"] {
            assert!(!complete(typed), "{typed}");
        }
    }
}
