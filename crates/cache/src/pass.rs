//! Requests that are passed through untouched, and what writes among them make wrong.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::Empty;
use service::RequestBodyError;
use upstream::RequestFault;

use crate::{
    answer,
    asked::{Asked, Bypass},
    body::AnswerBody,
    cache_status::{Forward, Member},
    groups,
    invalidate::{self, Outcome as Written},
    key::Key,
    pass_interim,
    posted::Posted,
    record::Outcome,
    second::{Message, Second},
    serve::Cache,
    store::Store,
    via,
};

impl Cache {
    /// A HEAD that nothing stored answers is passed through: its answer has no body to store.
    pub(crate) async fn head(self, asked: Asked, target: Uri, why: Forward) -> Response<AnswerBody> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = target;
        *request.headers_mut() = asked.fields;
        pass_interim(&mut request, asked.interim);
        self.record.tell(Outcome::Miss, Some(why.word()), None);
        match self.send(request, asked.key.digest()).await {
            Ok(response) => self.passed(response, why),
            Err(failure) => failed(failure, why),
        }
    }

    /// Passes a request through untouched; one that may change something invalidates what it may have changed.
    pub(crate) async fn bypass<B>(self, request: Request<B>, bypass: Bypass) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes, Error = RequestFault> + Send + Unpin + 'static,
    {
        self.record.tell(Outcome::Bypass, Some(bypass.word()), None);
        let why = if bypass == Bypass::Method { Forward::Method } else { Forward::Bypass };
        let key = Key::of(request.uri(), request.headers());
        let hash = key.as_ref().map_or(0, Key::digest);
        let method = request.method().clone();
        let mut write = Write { store: &self.store, second: self.second.as_ref(), method, key };
        let posted = Posted::of(&self, &request);
        let response = match self.send(request, hash).await {
            Ok(response) => response,
            Err(failure) => return failed(failure, why),
        };
        let (status, fields) = (response.status(), response.headers());
        let posted = posted.filter(|posted| posted.is_kept(&self, status, fields));
        let message = write.answered(status, fields);
        // Before the answer, so that whoever has it finds nothing older anywhere.
        if let Some(second) = self.second.as_ref().filter(|_| !message.is_empty()) {
            second.tell(message).await;
        }
        match posted {
            Some(posted) => posted.keep(&self, response).await,
            None => self.passed(response, why),
        }
    }

    async fn send<B>(
        &self,
        mut request: Request<B>,
        hash: u64,
    ) -> Result<Response<upstream::Body>, upstream::Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<RequestFault>,
    {
        via(request.headers_mut());
        let interim = request.extensions_mut().remove();
        pass_interim(&mut request, interim);
        self.client.send(request, Some(hash)).await
    }

    fn passed(&self, response: Response<upstream::Body>, why: Forward) -> Response<AnswerBody> {
        let member = Member::forwarded(why, Some(response.status()));
        answer::from_origin(response, self.clock.now(), member)
    }
}

fn failed(failure: upstream::Failure, why: Forward) -> Response<AnswerBody> {
    answer::own(failure.response("cache"), Member::forwarded(why, None))
}

/// A request that may change something, until it is answered. Dropped before (no answer, or the client left), it
/// counts as done: nobody knows.
struct Write<'a> {
    store: &'a Store,
    second: Option<&'a Arc<Second>>,
    method: Method,
    key: Option<Key>,
}

impl Write<'_> {
    /// Drops what is wrong now, and says what that was.
    fn answered(&mut self, status: StatusCode, fields: &HeaderMap) -> Message {
        let Some(key) = self.key.take() else { return Message::default() };
        if !invalidate::may_have_changed(&self.method, Written::Answered(status)) {
            return Message::default();
        }
        let keys = invalidate::keys(&key, fields);
        keys.iter().for_each(|key| self.store.invalidate(key));
        let groups = groups::invalidated(&key, fields);
        self.store.invalidate_groups(&groups);
        Message { keys, groups: groups.into(), ..Message::default() }
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take()
            && invalidate::may_have_changed(&self.method, Written::Unknown)
        {
            self.store.invalidate(&key);
            if let Some(second) = self.second {
                second.tell_soon(Message { keys: vec![key], ..Message::default() });
            }
        }
    }
}

/// What a request body's error means to the next hop's client.
pub(crate) fn fault(error: RequestBodyError) -> RequestFault {
    match error {
        RequestBodyError::TooLarge { .. } => RequestFault::TooLarge(error.into()),
        RequestBodyError::Idle { .. } => RequestFault::TooSlow(error.into()),
        RequestBodyError::Broken(source) => RequestFault::Broken(source),
    }
}
