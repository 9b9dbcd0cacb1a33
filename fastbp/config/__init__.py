"""Read sweep files: parse TOML, check keys and values, make the setups and their ids."""
