//! Bars on a terminal: one for each layer that is being fetched, and the total with its rate and time left.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{output, planned, warning};
use crate::progress::{Event, Reporter};

#[derive(Default)]
pub(super) struct Bars {
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: Option<ProgressBar>,
    layers: HashMap<usize, ProgressBar>,
    layers_left: usize,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸ ")
}

impl Bars {
    fn say(&self, text: &str) {
        // Nothing to do when the terminal is gone.
        let _ = self.all.println(text);
    }

    fn plan(&self, state: &mut State, layers: usize, bytes: u64) {
        if layers == 0 {
            return;
        }
        let template =
            "{prefix:>9} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left";
        let total = ProgressBar::new(bytes).with_style(style(template)).with_prefix("total");
        state.total = Some(self.all.add(total));
        state.layers_left = layers;
    }

    fn start(&self, state: &mut State, index: usize, digest: &str, size: u64) {
        let template = "{prefix:>9} {wide_bar} {binary_bytes}/{binary_total_bytes} {msg}";
        let digest = digest.split(':').next_back().unwrap_or(digest).get(..12).unwrap_or(digest).to_owned();
        let bar = ProgressBar::new(size)
            .with_style(style(template))
            .with_prefix(format!("layer {}", index + 1))
            .with_message(digest);
        let bar = match &state.total {
            Some(total) => self.all.insert_before(total, bar),
            None => self.all.add(bar),
        };
        state.layers.insert(index, bar);
    }
}

impl Reporter for Bars {
    fn report(&self, event: Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase(text) => self.say(text),
            Event::Output { of, line } => self.say(&output(of, line)),
            Event::Warning(text) => self.say(&warning(text)),
            Event::PullPlanned { layers_to_fetch, layers_present, bytes_to_fetch } => {
                self.say(&planned(layers_to_fetch, layers_present, bytes_to_fetch));
                self.plan(&mut state, layers_to_fetch, bytes_to_fetch);
            }
            Event::LayerStarted { index, digest, size } => self.start(&mut state, index, digest, size),
            Event::LayerProgress { index, position } => {
                if let (Some(bar), Some(total)) = (state.layers.get(&index), &state.total) {
                    // A layer that starts over takes its bytes back.
                    let before = bar.position();
                    bar.set_position(position);
                    total.set_position(total.position().saturating_add(position).saturating_sub(before));
                }
            }
            Event::LayerDone { index, .. } => {
                if let Some(bar) = state.layers.remove(&index) {
                    bar.finish_and_clear();
                }
                state.layers_left = state.layers_left.saturating_sub(1);
                if state.layers_left == 0
                    && let Some(total) = state.total.take()
                {
                    total.finish_and_clear();
                }
            }
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // An error must not be drawn over a half-drawn bar.
        let _ = self.all.clear();
    }
}
