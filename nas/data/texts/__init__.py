"""Texts: tokens, vocabulary, word vectors and batches."""
