"""The napari front end, the only place that knows napari and Qt."""
