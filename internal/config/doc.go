// Package config reads the configuration of archiverd: one YAML file, or the few
// flags of a run without a file. It is the only package that knows YAML.
//
// Load decodes the file over the defaults, completes what depends on other keys
// (ports, paths, schedules) and validates the whole. It reports all faults at once,
// as *Faults, each with file, line and key. config.example.yaml documents every key.
//
// Paths in the file are relative to the file's directory, those of a run without a file
// to the working directory. Nothing is expanded. A leading ~ is refused, because the
// home of a daemon is seldom that of its user; the error has the path to write instead.
// Sizes are octets, or have a unit: kB, MB and GB are powers of 1000, KiB, MiB and GiB
// powers of 1024.
//
// Guarantees:
//
//   - A *Config that Load, Parse or Single return is valid; its users check nothing again.
//   - A password is a Secret, which is printed as ***. It is read from its source only when
//     Account.Password is called.
//   - Files with passwords that group or others can read are refused.
//   - A connection without encryption is refused unless the account allows it.
//   - Text of the file is quoted in errors, so that it can't write to a terminal.
//
// The package opens no archive and no connection, and does not search for the file. Load
// accepts a password file that is missing: CheckSecrets and the account's run report it,
// so that the other accounts still run.
package config
