//! How many connections a site may have at once, learned from how they end.
//!
//! As in TCP the window grows with success and shrinks at once when the site has had enough. Unlike there the limit is
//! mostly a fixed number, and each step beyond it costs a message its attempt. So the window remembers where it was
//! refused, and steps there again only after so many successes more each time.

/// Beyond this many windows of successes the patience before the next step to where the site refused grows no more.
pub(super) const PATIENCE_MAX: u32 = 64;
const PATIENCE_MIN: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    size: u32,
    /// Successes since the last step.
    credit: u32,
    /// Below it each success is a step, from it on a window of them.
    good: u32,
    /// The smallest size that the site refused, as far as it is known.
    ceiling: Option<u32>,
    /// Windows of successes before the step to the ceiling.
    patience: u32,
}

impl Window {
    pub(super) fn new(initial: u32) -> Self {
        Self { size: initial.max(1), credit: 0, good: u32::MAX, ceiling: None, patience: PATIENCE_MIN }
    }

    pub(super) fn size(&self, max: u32) -> u32 {
        self.size.min(max.max(1))
    }

    /// Nothing was learned.
    pub(super) fn is_new(&self, initial: u32) -> bool {
        *self == Self::new(initial)
    }

    /// A run ended well while `used` ran, itself among them. A window that is not half used does not grow, as its
    /// successes tell nothing about a larger one.
    pub(super) fn on_good(&mut self, used: u32, max: u32) {
        if used.saturating_mul(2) < self.size(max) {
            return;
        }
        let at_ceiling = self.ceiling.is_some_and(|ceiling| self.size >= ceiling);
        let pace = match self.ceiling {
            _ if at_ceiling => self.size,
            _ if self.size < self.good => 1,
            Some(ceiling) if self.size + 1 == ceiling => self.size.saturating_mul(self.patience),
            _ => self.size,
        };
        self.credit += 1;
        if self.credit < pace {
            return;
        }
        self.credit = 0;
        if at_ceiling {
            // A whole window went well where the site once refused: it refuses no more.
            (self.ceiling, self.patience) = (None, PATIENCE_MIN);
        }
        self.size = self.size.saturating_add(1).min(max.max(1));
    }

    /// The site refused. True if that says to rest, as there is no window smaller than one.
    pub(super) fn on_busy(&mut self) -> bool {
        self.credit = 0;
        if self.size == 1 {
            return true;
        }
        if self.ceiling.is_some_and(|ceiling| self.size >= ceiling) {
            self.patience = (self.patience * 2).min(PATIENCE_MAX);
            (self.ceiling, self.size) = (Some(self.size), self.size - 1);
        } else {
            self.ceiling = Some(self.size);
            self.size = (self.size / 2).max(1);
        }
        self.good = self.size;
        false
    }

    /// No host of the site answered.
    pub(super) fn on_unreachable(&mut self) {
        self.credit = 0;
        self.good = (self.size / 2).max(1);
        self.size = (self.size / 4).max(1);
    }

    /// The site is back after it was down: begins as a new one, but knows where it refused.
    pub(super) fn restart(&mut self, initial: u32) {
        let below = self.ceiling.map_or(u32::MAX, |ceiling| ceiling.saturating_sub(1));
        (self.size, self.credit) = (initial.min(below).max(1), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = 100;

    /// A word is `good*N` in full use, `idle*N` with one run at a time, `busy` or `gone`; after it stands the size.
    fn check(transcript: &str) {
        let mut window = Window::new(5);
        for step in transcript.split_whitespace() {
            let (signal, expected) = step.split_once('=').unwrap();
            let (signal, times) = signal.split_once('*').unwrap_or((signal, "1"));
            for _ in 0..times.parse().unwrap() {
                match signal {
                    "good" => window.on_good(window.size(MAX), MAX),
                    "idle" => window.on_good(1, MAX),
                    "busy" => _ = window.on_busy(),
                    "gone" => window.on_unreachable(),
                    _ => panic!("no such signal: {signal}"),
                }
            }
            assert_eq!(window.size(MAX), expected.parse::<u32>().unwrap(), "{step} of {transcript}");
        }
    }

    #[test]
    fn a_window_grows_with_each_success_until_the_site_has_refused() {
        check("good*1=6 good*5=11 good*200=100 good*9=100");
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        check("idle*1000=5 good=6");
    }

    #[test]
    fn a_refusal_halves_the_window_which_then_grows_by_one_for_each_window_of_successes() {
        check("good*11=16 busy=8 good*7=8 good=9 good*9=10 good*10=11");
    }

    #[test]
    fn the_step_to_where_the_site_refused_takes_longer_each_time_until_it_is_refused_no_more() {
        check("good*4=9 busy=4 good*4=5 good*5=6 good*6=7 good*7=8 good*15=8 good=9 busy=8 good*31=8 good=9");
        check("good*4=9 busy=4 good*37=8 good=9 busy=8 good*32=9 good*8=9 good=10 good*10=11 good*11=12");
    }

    #[test]
    fn a_site_that_cannot_be_reached_shrinks_its_window_to_a_quarter_and_regains_half_of_it_fast() {
        check("good*15=20 gone=5 good*5=10 good*9=10 good=11 gone=2 gone=1 gone=1 good=2");
    }

    #[test]
    fn no_window_is_below_one_and_a_refusal_there_asks_for_rest() {
        let mut window = Window::new(0);
        assert_eq!((window.size(0), window.on_busy(), window.size(9)), (1, true, 1));
        let mut window = Window::new(5);
        assert!(!window.on_busy());
    }

    #[test]
    fn a_site_that_comes_back_begins_below_what_it_refused() {
        for (busy, expected) in [(false, 5), (true, 3)] {
            let mut window = Window::new(4);
            if busy {
                _ = window.on_busy();
            }
            window.on_unreachable();
            window.restart(5);
            assert_eq!(window.size(MAX), expected);
        }
    }
}
