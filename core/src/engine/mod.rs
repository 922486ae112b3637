//! The doors: Engine, Command, Input, Effect, Event, Config.
