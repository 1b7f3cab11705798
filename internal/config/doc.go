// Package config reads the configuration of archiverd: one YAML file, or the few
// flags of a run without a file. It is the only package that knows YAML.
//
// Load decodes the file over the defaults, completes what depends on other keys
// (ports, paths, schedules) and validates the whole. It reports all faults at once,
// as *Faults, each with file, line and key. config.example.yaml documents every key.
//
// Paths in the file are relative to the file's folder, those of a run without a file
// to the working directory. Nothing is expanded: no $, and a leading ~ is refused with
// the path to write in its place, because a daemon's home is seldom its user's.
// Sizes are octets, plainly or with a unit: kB, MB, GB are powers of 1000, KiB, MiB,
// GiB powers of 1024.
//
// Guarantees: a *Config that Load, Parse or Single return is valid, so users of it check
// nothing again. A password is a Secret, which prints as *** whatever prints it, and is
// read from its source only when Account.Password is called. Files with passwords that
// group or others can read are refused. A password never goes over a connection in the
// clear unless the file says so beside the account. Text of the file is quoted in
// errors, so it cannot write to a terminal.
//
// What it does not do: it opens no archive and no connection, and finds no file (the
// caller says which). A password file that is missing is no fault of Load but of
// CheckSecrets and of the account's own run, so that one account's lost secret stops
// no other account.
package config
