"""The subcommands of ``mmkd``; :mod:`mmkd.apis.cli` says what each module has."""
