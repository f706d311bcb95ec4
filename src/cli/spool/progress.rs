//! How far a long work has come, on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Less than this is read in a moment.
const SHOWN_FROM_BYTES: u64 = 256 << 20;
const SHOWN_FROM_MESSAGES: u64 = 1000;

/// A bar. Nothing is shown where stderr is no terminal.
#[derive(Debug)]
pub(super) struct Progress {
    shown_from: u64,
    template: &'static str,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn of_bytes() -> Self {
        let template = "{bar:20} {bytes} of {total_bytes}, {eta} left";
        Self { shown_from: SHOWN_FROM_BYTES, template, bar: None }
    }

    pub(super) fn of_messages() -> Self {
        let template = "{bar:20} {pos} of {len} messages, {eta} left";
        Self { shown_from: SHOWN_FROM_MESSAGES, template, bar: None }
    }

    pub(super) fn at(&mut self, done: u64, total: u64) {
        if total < self.shown_from {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total);
            ProgressStyle::with_template(self.template).into_iter().for_each(|style| bar.set_style(style));
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }
}
