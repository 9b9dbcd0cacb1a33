"""The sweep file: from TOML to setups that are checked, expanded and identified."""
