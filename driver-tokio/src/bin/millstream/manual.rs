//! What is made from the definition of the arguments: completion scripts and the manual page.

use crate::args::{Args, CompletionsArgs};
use crate::outcome::Trouble;
use crate::ui;
use clap::{Command, CommandFactory};
use clap_mangen::roff::{Roff, bold, roman};
use std::io;

/// Prints a completion script.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Trouble> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "millstream", &mut script);
    ui::bytes(&script);
    Ok(())
}

/// Prints the manual page: the command's own sections, then one for each verb, and for each verb of a verb.
pub(crate) fn page() -> Result<(), Trouble> {
    let mut command = Args::command();
    command.build();
    let mut page = Vec::new();
    write(&command, &mut page)
        .map_err(|error| Trouble::failed(format!("the manual page can't be made: {error}")))?;
    ui::bytes(&page);
    Ok(())
}

fn write(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)?;
    verbs(command, "COMMANDS", page)?;
    for verb in own(command) {
        section(verb, page)?;
        own(verb).try_for_each(|below| section(below, page))?;
    }
    let mut roff = Roff::default();
    roff.control("SH", ["NOTES"]);
    roff.control("nf", []);
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    notes.lines().for_each(|line| _ = roff.text([roman(line)]));
    roff.control("fi", []);
    roff.to_writer(page)
}

/// A verb's own section.
fn section(verb: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = verb.get_bin_name().unwrap_or_else(|| verb.get_name()).to_uppercase();
    page.extend(format!(".SH \"{name}\"\n").into_bytes());
    let man = clap_mangen::Man::new(verb.clone());
    man.render_description_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)?;
    if own(verb).next().is_some() { verbs(verb, "COMMANDS", page) } else { Ok(()) }
}

/// The verbs of a verb, and what each is for: there are no other pages to name.
fn verbs(command: &Command, heading: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [heading]);
    for verb in command.get_subcommands() {
        roff.control("TP", []);
        roff.text([bold(verb.get_name())]);
        roff.text([roman(verb.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    roff.to_writer(page)
}

fn own(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| verb.get_name() != "help")
}
