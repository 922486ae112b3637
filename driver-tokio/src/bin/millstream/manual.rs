//! What is made from the definition of the arguments: completion scripts and the manual page.

use crate::args::{Args, CompletionsArgs};
use crate::outcome::Trouble;
use crate::ui;
use clap::CommandFactory;

/// Prints a completion script.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Trouble> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "millstream", &mut script);
    ui::bytes(&script);
    Ok(())
}

/// Prints the manual page: the command's own section, then one for each subcommand.
pub(crate) fn page() -> Result<(), Trouble> {
    let mut command = Args::command();
    command.build();
    let mut page = Vec::new();
    let mut write = || -> std::io::Result<()> {
        clap_mangen::Man::new(command.clone()).render(&mut page)?;
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let heading = format!(".SH \"MILLSTREAM {}\"\n", sub.get_name().to_uppercase());
            page.extend(heading.into_bytes());
            let man = clap_mangen::Man::new(sub.clone());
            man.render_description_section(&mut page)?;
            man.render_synopsis_section(&mut page)?;
            man.render_options_section(&mut page)?;
        }
        Ok(())
    };
    write().map_err(|error| Trouble::failed(format!("the manual page can't be made: {error}")))?;
    ui::bytes(&page);
    Ok(())
}
