//! Kernel arguments of a deployment that is on trial: whatever fails restarts the machine, so that the loader counts
//! the attempt and tries again or falls back.
//!
//! ```text
//! panic=10              the kernel and initramfs-tools restart 10 seconds after they gave up
//! rd.shell=0            dracut opens no shell that waits for a person
//! rd.emergency=reboot   dracut restarts instead
//! ```
//!
//! An argument that is there with any value is left as it is: a person knows better. They are part of what is written for the
//! loader and not of a deployment's own arguments, so a deployment that turned out well boots without them.

use super::cmdline::{KernelArg, KernelArgs};

const ARGUMENTS: [&str; 3] = ["panic=10", "rd.shell=0", "rd.emergency=reboot"];

/// The command line on trial: arguments that are missing stand at its end, but before `--` and what is init's.
pub fn with_arguments(options: &str) -> String {
    let mut line = parse(options);
    let missing = missing(&line);
    if missing.is_empty() {
        return options.into();
    }
    missing.into_iter().for_each(|argument| line.append(argument));
    line.to_string()
}

/// What a command line that was written on trial says when the trial is over: `settled` is what it was made from, and
/// what people changed since then stays.
pub fn without_arguments(options: &str, settled: &str) -> String {
    let added = missing(&parse(settled));
    if options == with_arguments(settled) {
        return settled.into();
    }
    let line = parse(options);
    if !line.iter().any(|argument| added.contains(argument)) {
        return options.into();
    }
    line.iter().filter(|argument| !added.contains(argument)).cloned().collect::<KernelArgs>().to_string()
}

/// Of any text: whoever writes the entry checks it.
fn parse(options: &str) -> KernelArgs {
    KernelArgs::of_running_kernel(options.as_bytes())
}

fn missing(line: &KernelArgs) -> Vec<KernelArg> {
    let all = ARGUMENTS.into_iter().map(|text| text.parse::<KernelArg>().expect("an argument that parses"));
    all.filter(|argument| line.with_key(argument.key()).next().is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added_before_what_is_for_init() {
        for (settled, on_trial) in [
            ("", "panic=10 rd.shell=0 rd.emergency=reboot"),
            ("ro reroot=/d/1", "ro reroot=/d/1 panic=10 rd.shell=0 rd.emergency=reboot"),
            ("ro panic=0 rd.shell=1 rd.emergency=halt", "ro panic=0 rd.shell=1 rd.emergency=halt"),
            ("panic rd.shell -- panic=1", "panic rd.shell rd.emergency=reboot -- panic=1"),
            ("panic=10 a=\"b c\"", "panic=10 a=\"b c\" rd.shell=0 rd.emergency=reboot"),
        ] {
            assert_eq!(with_arguments(settled), on_trial);
            assert_eq!(without_arguments(on_trial, settled), settled);
        }
    }

    #[test]
    fn what_people_changed_stays_when_the_trial_is_over() {
        let settled = "ro reroot=/d/1";
        for (written, after) in [
            ("ro reroot=/d/1", "ro reroot=/d/1"),
            ("ro nomodeset reroot=/d/1 panic=10 rd.shell=0 rd.emergency=reboot", "ro nomodeset reroot=/d/1"),
            ("ro reroot=/d/1 panic=60 rd.shell=0", "ro reroot=/d/1 panic=60"),
            ("ro  reroot=/d/1 x", "ro  reroot=/d/1 x"),
        ] {
            assert_eq!(without_arguments(written, settled), after);
        }
        // It was there before the trial.
        assert_eq!(without_arguments("x panic=10 rd.shell=0", "panic=10"), "x panic=10");
    }

    proptest::proptest! {
        #[test]
        fn a_trial_leaves_no_trace(options in "(a|b=\"x y\"|panic|panic=1|rd\\.shell=0|--|c=)( (a|b=1|rd\\.emergency=x|panic=10|--)){0,5}") {
            let on_trial = with_arguments(&options);
            proptest::prop_assert_eq!(with_arguments(&on_trial), &*on_trial);
            proptest::prop_assert_eq!(without_arguments(&on_trial, &options), options);
        }
    }
}
