"""Pictures in and out: files, folders, videos and cameras become frames, frames become files."""
