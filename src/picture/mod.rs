//! Pictures: decode what a client sends, resize as the model's author did, colour a map, lay it over the image.
