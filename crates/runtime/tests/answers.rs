//! What a session makes of the tokens that a family gives it.

mod fake;

use std::{sync::atomic::Ordering, time::Duration};

use fake::{END, Fake, READ, image};
use tiny_vlm_runtime::{
    Answer, ErrorKind, FinishReason, Lang, LoadOptions, Model, Prompt, RequestOptions, Stop,
};

fn ask(model: &Model, options: &RequestOptions) -> Answer {
    model.ask_with(&image(1), "ab", options).unwrap()
}

fn say(answer: &[u32], options: &RequestOptions) -> Answer {
    ask(&Fake::saying(answer).load(), options)
}

#[test]
fn an_answer_says_what_it_cost_and_why_it_ended() {
    let answer = say(&[0, 1, 4, 0, END], &RequestOptions::default());
    assert_eq!(answer.text, "ab a");
    assert_eq!(answer.finish, FinishReason::Stop);
    let usage = answer.usage;
    assert_eq!((usage.image_tokens, usage.prompt_tokens, usage.completion_tokens), (3, 2, 5));
    // The chosen token has a score of 5, nine others have 0.
    let expected = 5.0 - (5.0f32.exp() + 9.0).ln();
    assert!((answer.mean_logprob - expected).abs() < 1e-5, "{}", answer.mean_logprob);
    assert_eq!((answer.lines.len(), answer.things.len()), (2, 1));
    assert!(answer.timings.total >= answer.timings.first_token);
}

#[test]
fn an_answer_begins_with_its_first_word() {
    let options = RequestOptions::default();
    assert_eq!(say(&[4, 4, 0, 4, 1, END], &options).text, "a b");
    // What a stop string holds back counts as a beginning.
    assert_eq!(say(&[4, 0, 4, 1, END], &options.stop("a a")).text, "a b");
}

#[test]
fn pieces_never_end_within_a_character() {
    let model = Fake::saying(&[0, 2, 3, 1, END]).load();
    let mut session = model.session();
    let image = image(1);
    let prompt = Prompt::new().image(&image).text("a");
    let pieces = session.stream(prompt, &RequestOptions::default()).unwrap();
    let pieces: Vec<String> = pieces.map(Result::unwrap).collect();
    assert_eq!(pieces, ["a", "é", "b"]);
}

#[test]
fn an_answer_that_is_cut_within_a_character_ends_before_it() {
    let answer = say(&[0, 2, 3], &RequestOptions::default().max_tokens(2));
    assert_eq!((answer.text.as_str(), answer.finish), ("a", FinishReason::Length));
    // The model itself may end there, and then that is what it said.
    assert_eq!(say(&[0, 2, END], &RequestOptions::default()).text, "a\u{fffd}");
}

#[test]
fn print_takes_its_own_lines_where_it_is_the_whole_answer() {
    let text = |answer: &[u32]| say(answer, &RequestOptions::default()).text;
    assert_eq!(text(&[READ, END]), "one\ntwo");
    assert_eq!(text(&[0, READ, 1, END]), "aone twob");
    assert_eq!(text(&[READ, 1, END]), "one twob");
    assert_eq!(text(&[READ, READ, END]), "one twoone two");
    assert_eq!(say(&[READ, 1], &RequestOptions::default().max_tokens(1)).text, "one\ntwo");
    assert_eq!(say(&[READ, END], &RequestOptions::default().stop("tw")).text, "one\n");
}

#[test]
fn stop_strings_end_an_answer_before_them() {
    let tokens = [0, 5, 6, 0, 5, 6, 7, 1, END];
    let answer = say(&tokens, &RequestOptions::default().stop("END"));
    assert_eq!((answer.text.as_str(), answer.finish), ("aENa", FinishReason::StopString));
    assert_eq!(say(&tokens, &RequestOptions::default().stop("nowhere")).text, "aENaENDb");
}

#[test]
fn the_room_of_the_model_bounds_an_answer() {
    let endless = vec![0; 1000];
    let answer = say(&endless, &RequestOptions::default().max_tokens(10_000));
    assert_eq!((answer.text.len(), answer.finish), (62, FinishReason::Length));
    assert_eq!(say(&endless, &RequestOptions::default().max_tokens(7)).text.len(), 7);
}

#[test]
fn a_question_that_is_too_long_says_both_numbers() {
    let model = Fake::saying(&[END]).load();
    let error = model.ask(&image(1), &"ab".repeat(50)).unwrap_err();
    assert_eq!(error.to_string(), "the question takes 100 tokens, the model has room for 63");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Capacity, "question-too-long"));
}

#[test]
fn questions_that_are_none_and_images_that_are_missing_are_errors() {
    let model = Fake::saying(&[END]).load();
    assert_eq!(model.ask(&image(1), " \0 ").unwrap_err().code(), "question-empty");
    let no_image = model.session().stream(Prompt::new().text("a"), &RequestOptions::default()).err().unwrap();
    assert_eq!(no_image.code(), "image-missing");
    let image = image(1);
    let two = Prompt::new().image(&image).image(&image).text("a");
    assert_eq!(
        model.session().stream(two, &RequestOptions::default()).err().unwrap().code(),
        "too-many-images"
    );
    let hot = RequestOptions::default().temperature(-1.0);
    assert_eq!(model.ask_with(&image, "a", &hot).unwrap_err().code(), "parameter-range");
}

#[test]
fn control_characters_are_dropped_with_a_note() {
    let model = Fake::saying(&[END]).load();
    let answer = model.ask(&image(1), "a\0b\u{1b}").unwrap();
    assert_eq!(answer.notes[0].details(), [("count", "2".to_owned())]);
    assert_eq!(answer.usage.prompt_tokens, 2);
}

#[test]
fn special_tokens_in_a_question_are_plain_text() {
    let model = Fake::saying(&[END]).load();
    // Letters that the vocabulary lacks vanish; the marker itself would be one token.
    let answer = model.ask(&image(1), "<end>aEND<read>").unwrap();
    assert_ne!(answer.usage.prompt_tokens, 3);
    assert_eq!(answer.finish, FinishReason::Stop);
}

#[test]
fn cancelling_before_the_first_token_is_an_error_and_later_an_end() {
    let model = Fake::saying(&[0; 40]).load();
    let stop = Stop::new();
    let options = RequestOptions::default().cancel(stop.clone());
    let image = image(1);
    let mut session = model.session();
    let mut stream = session.stream(Prompt::new().image(&image).text("a"), &options).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), "a");
    stop.cancel();
    assert!(stream.next().is_none());
    let answer = stream.answer().unwrap();
    assert_eq!((answer.text.as_str(), answer.finish), ("a", FinishReason::Cancelled));
    assert_eq!(model.ask_with(&image, "a", &options).unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn deadlines_end_answers() {
    let model = Fake::saying(&[0; 60]).slow(Duration::from_millis(5)).load();
    let answer = ask(&model, &RequestOptions::default().deadline(Duration::from_millis(40)));
    assert_eq!(answer.finish, FinishReason::Deadline);
    assert!(!answer.text.is_empty() && answer.text.len() < 40, "{}", answer.text);
    let none = RequestOptions::default().deadline(Duration::from_nanos(1));
    assert_eq!(model.ask_with(&image(1), "a", &none).unwrap_err().kind(), ErrorKind::Deadline);
}

#[test]
fn the_same_seed_gives_the_same_answer() {
    let model = Fake::saying(&[0; 60]).load();
    let hot = |seed| ask(&model, &RequestOptions::default().temperature(10.0).max_tokens(40).seed(seed)).text;
    assert_eq!(hot(1), hot(1));
    assert_ne!(hot(1), hot(2));
}

#[test]
fn images_are_looked_at_once() {
    let fake = Fake::saying(&[END]);
    let encoded = fake.encoded();
    let model = fake.load();
    for shade in [1, 2, 1, 1, 2] {
        model.ask(&image(shade), "a").unwrap();
    }
    assert_eq!(encoded.load(Ordering::Relaxed), 2);
    let stats = model.feature_cache();
    assert_eq!((stats.hits, stats.misses, stats.entries), (3, 2, 2));
    model.forget_images();
    model.ask(&image(1), "a").unwrap();
    assert_eq!(encoded.load(Ordering::Relaxed), 3);
}

#[test]
fn the_least_recently_used_image_is_forgotten_first() {
    let fake = Fake::saying(&[END]);
    let encoded = fake.encoded();
    let model = fake.load_with(&LoadOptions::default().threads(1).feature_cache_bytes(3000));
    for shade in [1, 2, 1, 3, 1] {
        model.ask(&image(shade), "a").unwrap();
    }
    assert_eq!(encoded.load(Ordering::Relaxed), 3);
    model.ask(&image(2), "a").unwrap();
    assert_eq!(encoded.load(Ordering::Relaxed), 4);
    assert!(model.feature_cache().bytes <= 3000);

    let fake = Fake::saying(&[END]);
    let encoded = fake.encoded();
    let model = fake.load_with(&LoadOptions::default().threads(1).feature_cache_bytes(0));
    for _ in 0..3 {
        model.ask(&image(1), "a").unwrap();
    }
    assert_eq!((encoded.load(Ordering::Relaxed), model.feature_cache().entries), (3, 0));
}

#[test]
fn a_conversation_remembers_images_and_words_where_the_family_wants_them() {
    let model = Fake::saying(&[0, END]).conversing().load();
    let mut session = model.session();
    let (first, second) = (image(1), image(2));
    let options = RequestOptions::default();
    let mut ask = |prompt| session.stream(prompt, &options).unwrap().answer().unwrap().usage;
    let usage = ask(Prompt::new().image(&first).text("bb"));
    assert_eq!((usage.image_tokens, usage.prompt_tokens), (3, 2));
    let usage = ask(Prompt::new().image(&second).text("b"));
    assert_eq!(
        (usage.image_tokens, usage.prompt_tokens),
        (6, 4),
        "the first question and its answer come before"
    );
    let usage = ask(Prompt::new().text("b"));
    assert_eq!((usage.image_tokens, usage.prompt_tokens), (6, 6));

    let model = Fake::saying(&[0, END]).load();
    let mut session = model.session();
    let mut ask = |prompt| session.stream(prompt, &options).unwrap().answer().unwrap().usage;
    ask(Prompt::new().image(&first).text("bb"));
    assert_eq!(ask(Prompt::new().text("b")).prompt_tokens, 1);
    assert_eq!(ask(Prompt::new().image(&second).caption(Lang::De)).image_tokens, 3);
}

#[test]
fn streams_of_one_thread_do_not_wait_for_each_other() {
    let model = Fake::saying(&[0, 1, 0, 1, END]).load();
    let image = image(1);
    let (mut one, mut two) = (model.session(), model.session());
    let options = RequestOptions::default();
    let one = one.stream(Prompt::new().image(&image).text("a"), &options).unwrap();
    let two = two.stream(Prompt::new().image(&image).text("b"), &options).unwrap();
    let both: String = one.zip(two).map(|(a, b)| a.unwrap() + &b.unwrap()).collect();
    assert_eq!(both, "aabbaabb");
}

#[test]
fn many_threads_ask_one_model() {
    for instances in [1, 3] {
        let options = LoadOptions::default().threads(3).instances(instances);
        let model = Fake::saying(&[0, 1, END]).load_with(&options);
        std::thread::scope(|scope| {
            let asks: Vec<_> = (0..8)
                .map(|shade| {
                    let model = model.clone();
                    scope.spawn(move || model.ask(&image(shade), "a").unwrap().text)
                })
                .collect();
            assert!(asks.into_iter().all(|ask| ask.join().unwrap() == "ab"));
        });
    }
}

#[test]
fn print_is_read_and_scores_are_shown() {
    let model = Fake::saying(&[1, END]).load();
    assert_eq!(model.read(&image(1)).unwrap().text(), "print");
    let image = image(1);
    let prompt = Prompt::new().image(&image).text("a");
    let scores = model.session().first_scores(prompt, &RequestOptions::default()).unwrap();
    assert_eq!(scores[1], 5.0);
    let stopped = Stop::new();
    stopped.cancel();
    let options = RequestOptions::default().cancel(stopped);
    assert_eq!(model.session().read(&image, &options).unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn models_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    fn moves<T: Send>() {}
    shared::<Model>();
    moves::<tiny_vlm_runtime::Session>();
    moves::<tiny_vlm_runtime::Error>();
}
