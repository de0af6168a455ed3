"""Where frames come from: folders, videos and cameras, each a source of offers."""
