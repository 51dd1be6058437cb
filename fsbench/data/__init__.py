"""Sources, cards and packs: from the files that people have to arrays ready for sampling."""
