"""Image data: sources, label maps, transforms and the tf.data pipeline."""
