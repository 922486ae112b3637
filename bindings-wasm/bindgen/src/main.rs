//! Writes the JavaScript side of a wasm file: `millstream-bindgen IN.wasm OUT_FOLDER (node|web)`. Owns no behaviour.

use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, host] = arguments.as_slice() else {
        eprintln!("usage: millstream-bindgen IN.wasm OUT_FOLDER (node|web)");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    let chosen = match host.as_str() {
        "node" => bindgen.nodejs(true),
        "web" => bindgen.web(true),
        _ => {
            eprintln!("millstream-bindgen: no host {host}; there are node and web");
            return ExitCode::from(2);
        }
    };
    let written = chosen.and_then(|bindgen| {
        let small = bindgen.remove_name_section(true).remove_producers_section(true);
        small.input_path(input).out_name("millstream").typescript(true).generate(output)
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millstream-bindgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}
