"""A codec as an artefact: manifest, files, graphs. Knows files, not how to run a network."""
