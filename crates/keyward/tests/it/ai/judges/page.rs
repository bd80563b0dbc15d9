//! The grid as it is printed: a table for each form that callers speak.

use super::providers::{DIALECTS, FORMS};
use std::path::Path;

/// The tables of the page.
pub(super) struct Grid {
    /// Form, dialect, feature, and what the cell says.
    cells: Vec<[String; 4]>,
}

impl Grid {
    /// Reads `docs/ai/dialects.md`.
    pub(super) fn printed() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ai/dialects.md");
        let text = std::fs::read_to_string(path).unwrap();
        let grid = Self::read(&text);
        for form in FORMS {
            for feature in grid.rows(form).collect::<Vec<_>>() {
                for dialect in DIALECTS {
                    let cell = grid.cell(form, dialect, feature);
                    let known = ["pass", "pass, noted"].contains(&cell)
                        || (cell.starts_with("refused: `") && cell.ends_with('`'));
                    assert!(known, "{form}, {dialect}, {feature}: `{cell}`");
                }
            }
        }
        grid
    }

    fn read(text: &str) -> Self {
        let mut cells = Vec::new();
        let mut form = "";
        let mut dialects: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix("### Callers who speak `") {
                form = heading.trim_end_matches('`');
                continue;
            }
            if line.starts_with('#') {
                form = "";
            }
            let Some(row) = line.strip_prefix("| ").filter(|_| !form.is_empty()) else {
                continue;
            };
            let mut columns = row.trim_end_matches('|').split('|').map(str::trim);
            let feature = columns.next().unwrap();
            if feature == "feature" {
                dialects = columns.collect();
                continue;
            }
            for (dialect, cell) in dialects.iter().zip(columns) {
                cells.push([form, dialect, feature, cell].map(str::to_owned));
            }
        }
        Self { cells }
    }

    /// The features of a form's table.
    pub(super) fn rows<'a>(&'a self, form: &'a str) -> impl Iterator<Item = &'a str> {
        let first = DIALECTS[0];
        self.cells
            .iter()
            .filter(move |[of, dialect, ..]| of == form && dialect == first)
            .map(|[_, _, feature, _]| feature.as_str())
    }

    /// What stands in a cell.
    pub(super) fn cell(&self, form: &str, dialect: &str, feature: &str) -> &str {
        let found = self
            .cells
            .iter()
            .find(|[of, from, what, _]| of == form && from == dialect && what == feature);
        found.map_or("", |[.., cell]| cell)
    }
}

#[test]
fn the_grid_has_every_form_every_dialect_and_every_feature() {
    const FEATURES: &[&str] = &[
        "text",
        "stream",
        "one tool",
        "parallel tools",
        "forced tool, by name",
        "forced tool, any",
        "tool result",
        "image",
        "document",
        "schema",
        "reasoning",
        "stop reasons",
        "usage",
        "error",
        "error in mid-stream",
    ];
    let grid = Grid::printed();
    for form in FORMS {
        let rows: Vec<&str> = grid.rows(form).collect();
        for feature in FEATURES {
            assert!(rows.contains(feature), "{form} has no row `{feature}`");
        }
    }
}

#[test]
fn an_empty_cell_is_seen() {
    let grid = Grid::read(
        "### Callers who speak `a`\n\n| feature | x | y |\n|---|---|---|\n| f | pass | |\n",
    );
    assert_eq!(grid.cell("a", "x", "f"), "pass");
    assert_eq!(grid.cell("a", "y", "f"), "");
    assert_eq!(grid.cell("a", "z", "f"), "");
}
